//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package temporal

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes the lock on file until it is closed or the process ends, and reports whether it was free.
func tryLock(file *os.File) (bool, error) {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
