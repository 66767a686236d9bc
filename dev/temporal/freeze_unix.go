//go:build unix

package temporal

// Freeze pauses the server (SIGSTOP), like a paused virtual machine. Kill ends a frozen server; Stop needs a Thaw first.
func (s *Server) Freeze() error { return s.process.Freeze() }

// Thaw resumes a frozen server. It does nothing when the server is not frozen or has ended.
func (s *Server) Thaw() error { return s.process.Thaw() }
