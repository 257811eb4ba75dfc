#ifndef HYPERD_FILL_H
#define HYPERD_FILL_H

#include <stdbool.h>

#include "tar.h"

// Gives an empty volume the content that the image has in its place. A marker beside the volume tells of one that broke off.

// Whether the directory `name` of `parent` is to be filled: it is empty, or a former filling broke off and it has been emptied
// now. The marker is set then. False with `error` empty: no.
bool fill_begin(int parent, const char *name, struct tar_error *error);
// Copies what is below `from`, its owner and mode as well, into the directory `to`; links in `to` lead nowhere out of it.
bool fill_copy(const char *from, int to, struct tar_error *error);
// Removes the marker.
bool fill_end(int parent, const char *name, struct tar_error *error);

#endif
