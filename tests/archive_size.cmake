# Fails where the file is larger than MOST bytes. What grows it most are loops that are compiled for each instruction set
# and inline functions that each object has a copy of: `nm --size-sort -C` and `readelf -S` of the objects tell.
file(SIZE ${ARCHIVE} bytes)
message("${ARCHIVE}: ${bytes} bytes, at most ${MOST}")
if(bytes GREATER MOST)
  message(FATAL_ERROR "the archive is too large")
endif()
