// Package helper exists for tests.
package helper

import "example/lib"

// Setup is used by a test, which is enough here.
func Setup() { lib.OnlyTestedByHelpers() }

// Unused is not used.
func Unused() {}
