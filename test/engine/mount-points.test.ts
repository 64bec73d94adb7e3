import { expect, test } from 'vitest';
import { mountPointsBelow } from '../../src/engine/mount-points.js';

test('mount points below a directory are told from those beside it', () => {
  const mountInfo = [
    '21 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
    '22 21 0:5 / /dev rw,relatime shared:2 - devtmpfs devtmpfs rw',
    '23 21 254:0 /a /home/me rw - ext4 /dev/vda rw',
    '24 23 254:0 /b /home/me/deep/b rw - ext4 /dev/vda rw',
    '25 21 254:0 /c /home/mean rw - ext4 /dev/vda rw',
    String.raw`26 23 254:0 /d /home/me/with\040space\134 rw - ext4 /dev/vda rw`,
    '',
  ].join('\n');
  expect(mountPointsBelow(mountInfo, '/home/me')).toEqual(['deep/b', 'with space\\']);
  expect(mountPointsBelow(mountInfo, '/')).toContain('home/mean');
  expect(mountPointsBelow(mountInfo, '/home/you')).toEqual([]);
});
