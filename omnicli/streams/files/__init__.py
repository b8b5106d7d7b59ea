"""The bytes of media files: plain files and tar members."""
