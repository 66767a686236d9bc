//go:build !linux

package child

import "syscall"

// Only Linux has a parent-death signal; elsewhere Stop is what ends the children.
func bindToParent(*syscall.SysProcAttr) {}
