package main

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestWhoamiShowsTheKey(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	shown := s.must("whoami")
	require.Regexp(t, `provider +acme\nyou are +key [0-9a-f]{12}\nrole +admin`, shown)
	require.Contains(t, shown, "keys:write")
	require.Regexp(t, `^key [0-9a-f]{12}$`, s.must("whoami", "--quiet"))
}

func TestSessionsByCommandLine(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	hash := sha256.Sum256([]byte("token"))
	require.NoError(t, s.store.Sessions.Start(t.Context(), provision.Session{
		Hash: hash[:], Person: provision.Person{Issuer: "https://login.example", Subject: "00u1", Name: "anna@acme.example"},
		Grants:     []provision.Grant{{Provider: "acme", Role: provision.RoleOperator}},
		SignedInAt: time.Now(), EndsAt: time.Now().Add(time.Hour),
	}, time.Time{}))
	require.Contains(t, s.must("sessions", "list"), "person anna@acme.example (00u1)  operator")
	require.Equal(t, "sessions ended: 1; everyone must sign in again", s.must("sessions", "end", "--reason=A laptop was stolen."))
	require.NotContains(t, s.must("sessions", "list"), "anna")
}
