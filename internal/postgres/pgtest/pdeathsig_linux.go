package pgtest

import (
	"os/exec"
	"syscall"
)

// bindToParent makes the kernel shut the server down when the thread that starts it ends, which with a locked thread is
// when this process ends, however it ends. SIGINT is PostgreSQL's "fast shutdown": sessions are cut, nothing is lost.
func bindToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
}

// guard has nothing to do here: the kernel watches the parent.
func guard(*exec.Cmd) (release func(), err error) {
	return func() {}, nil
}
