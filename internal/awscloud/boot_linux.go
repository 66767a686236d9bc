package awscloud

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot reads the clock that counts the time since the boot, including the time the machine was asleep.
func sinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0 // no such clock; Since then uses the wall clock alone
	}
	return time.Duration(now.Nano())
}
