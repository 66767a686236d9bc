//go:build unix && !linux

package pgtest

import "os/exec"

// bindToParent has nothing to do here: the kernel knows no parent-death signal, see guard.
func bindToParent(*exec.Cmd) {}

// guard leaves a small shell behind that shuts the server down when this process is gone.
func guard(server *exec.Cmd) (release func(), err error) { return watch(server.Process.Pid) }
