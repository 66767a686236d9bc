package temporal

import "syscall"

// childAttributes make the system kill the child when this process dies, however it dies, so that no server is left
// behind. The process group of its own keeps a Ctrl-C in the terminal from the child: who started it stops it, in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
