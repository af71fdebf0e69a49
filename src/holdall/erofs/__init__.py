"""The EROFS on-disk format (Linux fs/erofs/erofs_fs.h): an index of files whose data lies in another file."""
