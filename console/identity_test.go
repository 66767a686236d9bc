package console

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestThePersonIsNamedByWhatTheIssuerSays(t *testing.T) {
	t.Parallel()
	i := &issuer{OIDC: OIDC{Issuer: "https://login.example", GroupsClaim: "groups"}}
	now := time.Unix(1_700_000_000, 0)
	read := func(text string) (identity, error) {
		var says claims
		require.NoError(t, json.Unmarshal([]byte(text), &says))
		return says.identity(i, "00u1", now)
	}
	for text, name := range map[string]string{
		`{"email": "anna@acme.example", "preferred_username": "anna"}`:                             "anna@acme.example",
		`{"email": "boss@acme.example", "email_verified": false, "preferred_username": "mallory"}`: "mallory",
		`{"email": "boss@acme.example", "email_verified": "false"}`:                                "00u1",
		`{"name": "Anna Berg", "email": 7}`:                                                        "Anna Berg",
		`{"name": "Anna\nBerg\u0000\u202e"}`:                                                       "Anna Berg",
		`{"name": "` + strings.Repeat("ä", 300) + `"}`:                                             strings.Repeat("ä", 200) + "…",
	} {
		who, err := read(text)
		require.NoError(t, err, text)
		require.Equal(t, name, who.Person.Name)
		require.Equal(t, "00u1", who.Person.Subject)
		require.Equal(t, now, who.ProvedAt)
	}

	who, err := read(`{"groups": ["a", "b"], "auth_time": 1699999000}`)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, who.Groups)
	require.Equal(t, 1000*time.Second, now.Sub(who.ProvedAt))
	who, err = read(`{"groups": "a", "auth_time": 1700000900}`)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, who.Groups)
	require.Equal(t, now, who.ProvedAt, "a clock that is ahead proves nothing in the future")
	_, err = read(`{"groups": {"a": 1}}`)
	require.EqualError(t, err, `the claim "groups" is neither a text nor a list of texts`)
}
