//go:build !linux

package awscloud

import "time"

var started = time.Now()

// sinceBoot stands still while the machine sleeps, where Go knows no better clock: then the wall clock decides.
func sinceBoot() time.Duration { return time.Since(started) }
