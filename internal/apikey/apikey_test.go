package apikey

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestANewKeyHasTheDocumentedForm(t *testing.T) {
	t.Parallel()
	text, key := New("acme", "ci", provision.RoleMarketplace)
	require.Regexp(t, `^qm_live_[0-9a-f]{12}_[A-Za-z0-9_-]{43}$`, text)
	require.Equal(t, "acme", key.Provider)
	require.Equal(t, "ci", key.Name)
	require.Equal(t, provision.RoleMarketplace, key.Role)
	id, secret, ok := Parse(text)
	require.True(t, ok)
	require.Equal(t, key.ID, id)
	sum := sha256.Sum256([]byte(secret))
	require.Equal(t, sum[:], key.SecretSHA256)
	other, _ := New("acme", "ci", provision.RoleMarketplace)
	require.NotEqual(t, text, other)
}

func TestASuccessorHasTheSameRightsForTheSameTime(t *testing.T) {
	t.Parallel()
	made := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	end, limit := made.Add(24*time.Hour), 2.5
	old := provision.APIKey{
		ID:        "0",
		Provider:  "acme",
		Name:      "ci",
		Role:      provision.RoleViewer,
		Scopes:    []provision.Scope{provision.ScopeOrdersRead},
		RateLimit: &limit,
		CreatedAt: made,
		ExpiresAt: &end,
	}
	now := made.Add(20 * time.Hour)
	_, key := Successor(old, now)
	require.NotEqual(t, old.ID, key.ID)
	require.Equal(t, now.Add(24*time.Hour), *key.ExpiresAt)
	key.ID, key.SecretSHA256, key.CreatedAt, key.ExpiresAt = old.ID, nil, old.CreatedAt, old.ExpiresAt
	require.Equal(t, old, key)
}

func TestParseRefusesWhatIsNotAKey(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "qm_live_", "qm_live_abc", "qm_live_abc_", "qm_live__secret", "qm_live_a'b_secret", "sk_live_abc_secret",
		"qm_live_abc_" + strings.Repeat("s", 200),
	} {
		_, _, ok := Parse(text)
		require.False(t, ok, text)
	}
	id, secret, ok := Parse(" qm_live_abc_se_cret ")
	require.True(t, ok)
	require.Equal(t, []string{"abc", "se_cret"}, []string{id, secret})
}
