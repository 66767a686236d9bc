package awscloud

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot reads the clock that runs on while the machine sleeps.
func sinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0 // no such clock: the wall clock decides alone
	}
	return time.Duration(now.Nano())
}
