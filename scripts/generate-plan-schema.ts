import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { toJsonSchema } from '@valibot/to-json-schema';
import { documentShape } from '../src/engine/plan-schema.js';

/** Where the published schema of the plan format is kept. */
export const planSchemaPath: string = path.join(
  import.meta.dirname,
  '..',
  'schema',
  'plan-v1.schema.json',
);

/** Returns the JSON Schema (draft 7, which editors know best) of the plan format. */
export function planJsonSchema(): object {
  const { $schema, ...rest } = toJsonSchema(documentShape, {
    typeMode: 'input',
    // That text is well-formed Unicode, a JSON Schema cannot say.
    ignoreActions: ['check'],
  });
  return { $schema, $id: 'urn:skillmeat:plan-v1', title: 'skillmeat plan, version 1', ...rest };
}

// Run as a program: tsx scripts/generate-plan-schema.ts && biome format --write schema
if (process.argv[1] === import.meta.filename) {
  writeFileSync(planSchemaPath, `${JSON.stringify(planJsonSchema(), undefined, 2)}\n`);
}
