//go:build unix

package temporal

// Freeze stops the server where it is (SIGSTOP), as a machine that is paused does. Kill ends a frozen server, Stop needs a
// Thaw first.
func (s *Server) Freeze() error { return s.process.Freeze() }

// Thaw lets a frozen server go on. For one that is not frozen, or has ended, it does nothing.
func (s *Server) Thaw() error { return s.process.Thaw() }
