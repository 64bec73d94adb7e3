import type { FileSystemType } from './file-system.js';

/** File-system magic numbers: linux/magic.h and each file system's own header. */
const types: Readonly<Record<number, FileSystemType>> = {
  0xef53: { name: 'ext4', support: 'supported' },
  0x58465342: { name: 'xfs', support: 'supported' },
  0x9123683e: { name: 'btrfs', support: 'supported' },
  0x794c7630: { name: 'overlay', support: 'supported' },
  0x01021994: { name: 'tmpfs', support: 'volatile' },
  0x858458f6: { name: 'ramfs', support: 'volatile' },
  0x6969: { name: 'nfs', support: 'network' },
  0x517b: { name: 'smb', support: 'network' },
  0xff534d42: { name: 'cifs', support: 'network' },
  0xfe534d42: { name: 'smb2', support: 'network' },
  0x01021997: { name: '9p', support: 'network' },
  0x5346414f: { name: 'afs', support: 'network' },
  0x00c36400: { name: 'ceph', support: 'network' },
  0x786f4256: { name: 'vboxsf', support: 'network' },
  0x65735546: { name: 'fuse', support: 'unknown' },
  0x2fc12fc1: { name: 'zfs', support: 'unknown' },
  0xf2f52010: { name: 'f2fs', support: 'unknown' },
  0xca451a4e: { name: 'bcachefs', support: 'unknown' },
  0x4d44: { name: 'vfat', support: 'unknown' },
  0x2011bab0: { name: 'exfat', support: 'unknown' },
  0x7366746e: { name: 'ntfs3', support: 'unknown' },
};

/** Returns what is known of the file system whose `statfs` gives this magic number. */
export function fileSystemTypeOf(magic: number): FileSystemType {
  return types[magic] ?? { name: `0x${magic.toString(16)}`, support: 'unknown' };
}
