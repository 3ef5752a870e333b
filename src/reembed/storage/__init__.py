"""Objects and files: disk, Cloud Storage and web pages behind small protocols."""
