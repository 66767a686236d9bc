//go:build !linux

package temporal

import "syscall"

// childAttributes are the usual ones: this system cannot tie a child's life to its parent's. A server may outlive a
// parent that is killed.
func childAttributes() *syscall.SysProcAttr { return nil }
