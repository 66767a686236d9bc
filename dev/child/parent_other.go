//go:build !unix

package child

import "syscall"

// bindToParent does nothing: this system has neither process groups nor a way to tie a child's life to its parent's. It
// outlives a parent that is killed.
func bindToParent(*syscall.SysProcAttr) {}
