//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package main

import (
	"io"
	"os"
)

// lockFile opens path without a lock, which this system does not have: nothing keeps a second server off the database.
func lockFile(path string) (io.Closer, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, serverFiles)
}
