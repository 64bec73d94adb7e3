export {
  CollectionError,
  type CollectionErrorCode,
  type CollectionErrorDetails,
  isCollectionError,
} from './errors.js';
