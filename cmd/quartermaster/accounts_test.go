package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestAccountsByCommandLine(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	create := func(id, role string) []string {
		return []string{"accounts", "create", id, "--marketplace=nordic", "--model=SPAM", "--name=First", "--root-email=root@acme.example",
			"--role-arn=arn:aws:iam::" + role + ":role/quartermaster"}
	}
	var added openapi.Account
	require.NoError(t, json.Unmarshal([]byte(s.must(append(create("111122223333", "111122223333"), "--json")...)), &added))
	require.NotEmpty(t, added.ExternalID, "the operator needs it for the role")
	list := s.must("accounts", "list")
	require.Regexp(t, `(?m)^111122223333 +SPAM +nordic/production +Invalid .*`+provision.AwaitsVerification, list,
		"nothing is drawn before its verification")
	require.NotContains(t, list, added.ExternalID)
	require.Regexp(t, `(?m)^external id +`+added.ExternalID+`$`, s.must("accounts", "show", "111122223333"))

	again := s.run(create("111122223333", "111122223333")...)
	require.Equal(t, exitRefused, exitCode(again.err))
	wrong := s.run(create("444422223333", "999922223333")...)
	require.Contains(t, inWords(wrong.err), "the role is in account 999922223333")
	protected := s.run(create(protectedByConfiguration, protectedByConfiguration)...)
	require.Contains(t, inWords(protected.err), "account "+protectedByConfiguration+" is protected")
	require.Equal(t, exitNotFound, exitCode(s.run("accounts", "show", "444422223333").err))

	require.Regexp(t, `(?m)^name +Second$`, s.must("accounts", "update", "111122223333", "--name=Second"))
	require.ErrorContains(t, s.run("accounts", "update", "111122223333").err, "no change is named")
	s.account("555522223333", provision.AccountReady)
	require.Equal(t, "111122223333: Invalid, Ready when verified\n555522223333: Ready",
		s.must("accounts", "verify", "111122223333", "555522223333", "--yes"))
	require.Equal(t, "555522223333: Invalid", s.must("accounts", "invalidate", "555522223333", "--reason=abuse report"))
	require.Equal(t, "555522223333: Invalid, Ready when verified", s.must("accounts", "return", "555522223333", "--reason=settled"))
	clean := s.run("accounts", "clean", "555522223333", "--reason=again")
	require.Equal(t, exitRefused, exitCode(clean.err), "no undo left anything there")
	require.Regexp(t, `(?m)key \S+ +ready +invalid +- +abuse report`, s.must("accounts", "history", "555522223333"))
	require.Equal(t, "111122223333: deleted\n555522223333: deleted", s.must("accounts", "delete", "--status=invalid", "--yes"))
	require.Contains(t, s.must("accounts", "history", "555522223333"), "deleted")
}
