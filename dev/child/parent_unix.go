//go:build unix && !linux

package child

import "syscall"

// bindToParent gives the child a process group of its own, which keeps the terminal's signals from it. Only Linux ties a
// child's life to its parent's; here it outlives a parent that is killed.
func bindToParent(attr *syscall.SysProcAttr) { attr.Setpgid = true }
