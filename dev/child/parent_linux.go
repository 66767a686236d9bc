package child

import "syscall"

// bindToParent makes the system kill the child when the thread that starts it dies, and gives it a process group of its
// own, which keeps the terminal's signals from it.
func bindToParent(attr *syscall.SysProcAttr) {
	attr.Pdeathsig = syscall.SIGKILL
	attr.Setpgid = true
}
