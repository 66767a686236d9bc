//go:build !linux

package awscloud

import "time"

var started = time.Now()

// sinceBoot does not count the time the machine was asleep: Go has no clock here that does. Since then uses the wall clock.
func sinceBoot() time.Duration { return time.Since(started) }
