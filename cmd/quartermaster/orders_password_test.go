package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestACustomerWhoLostTheLinkGetsANewOne(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.order("o-1", provision.Completed)
	first := s.must("orders", "password", "o-1", "--reason=ticket 4711")
	require.Regexp(t, `^o-1: http://127.0.0.1:8080/reveal#\S+$`, first)
	require.Contains(t, s.must("orders", "show", "o-1"), first[len("o-1: "):], "an admin may see it")
	require.Contains(t, s.must("orders", "history", "o-1"), "ticket 4711")

	s.workflows.SlowPassword = true
	second := s.must("orders", "password", "o-1", "--reason=again")
	require.Regexp(t, `^o-1: http://127.0.0.1:8080/reveal#\S+$`, second, "the command waits until it is set")
	require.NotEqual(t, first, second)

	s.workflows.RefusePassword = &provision.Failure{Code: provision.CodeSignInInUse, Reason: "the customer has chosen a password"}
	slow := s.run("orders", "password", "o-1", "--reason=again")
	require.ErrorContains(t, slow.err, "the customer has chosen a password")
	require.Equal(t, exitRefused, exitCode(slow.err))
	insisting := s.run("orders", "password", "o-1", "--reason=again", "--even-if-used")
	require.ErrorContains(t, insisting.err, "this would replace the password of order o-1, and there is no terminal to ask: add --yes")
	require.Equal(t, exitNotFound, exitCode(s.run("orders", "password", "o-2", "--reason=x").err))
}
