package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// create makes a key with the key of an admin and returns its text.
func (w *testAPI) create(t *testing.T, form string) (text string, key openapi.APIKey) {
	t.Helper()
	made := read[openapi.NewAPIKeyText](t, w.send(w.key, http.MethodPost, "/v1/api-keys", form), http.StatusCreated)
	return made.Secret, made.APIKey
}

func (w *testAPI) verb(key, id, verb, body string) (status int, text string) {
	answer := w.send(key, http.MethodPost, "/v1/api-keys/"+id+"/"+verb, body)
	return answer.Code, answer.Body.String()
}

func TestANewKeyIsShownOnce(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	answer := w.send(w.key, http.MethodPost, "/v1/api-keys",
		`{"name":"nordic store","role":"marketplace","marketplaces":["nordic"],"requests_per_second":5,"expires_at":"2099-01-01T00:00:00Z"}`)
	made := read[openapi.NewAPIKeyText](t, answer, http.StatusCreated)
	require.Equal(t, "/qm/v1/api-keys/"+made.APIKey.ID, answer.Header().Get("Location"))
	require.Equal(t, provision.RoleMarketplace.Scopes(), made.APIKey.Scopes)
	require.Equal(t, []string{"nordic"}, *made.APIKey.Marketplaces)
	require.Equal(t, "key "+w.keyID(), *made.APIKey.CreatedBy)
	require.InDelta(t, 5, *made.APIKey.RequestsPerSecond, 0)
	require.Nil(t, made.APIKey.LastUsedAt)

	read[openapi.OrderPage](t, w.send(made.Secret, http.MethodGet, "/v1/orders", ""), http.StatusOK)
	_, secret, _ := splitKey("Bearer " + made.Secret)
	for _, target := range []string{"/v1/api-keys", "/v1/api-keys/" + made.APIKey.ID} {
		text := w.get(target).Body.String()
		require.Contains(t, text, "nordic store")
		require.Contains(t, text, "last_used_at")
		require.NotContains(t, text, secret)
		require.NotContains(t, text, "sha256")
	}
	require.NotContains(t, w.log.String(), secret)
	readProblem(t, w.get("/v1/api-keys/000000000000"), http.StatusNotFound, codeNotFound)
	readProblem(t, w.send(w.otherKey, http.MethodGet, "/v1/api-keys/"+made.APIKey.ID, ""), http.StatusNotFound, codeNotFound)
}

func TestPagesOfKeys(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	want := []string{}
	for i := range 4 {
		_, key := w.create(t, fmt.Sprintf(`{"name":"k%d","role":"viewer"}`, i))
		want = append(want, key.ID)
	}
	slices.Reverse(want)
	want = append(want, w.keyID())
	got := []string{}
	for cursor := ""; ; {
		page := read[openapi.APIKeyPage](t, w.get("/v1/api-keys?limit=2"+cursor), http.StatusOK)
		for _, key := range page.Items {
			got = append(got, key.ID)
		}
		if page.NextCursor == nil {
			break
		}
		cursor = "&cursor=" + *page.NextCursor
	}
	require.Equal(t, want, got)
	readProblem(t, w.get("/v1/api-keys?cursor="+*encodeCursor(provision.OrderCursor{CreatedAt: now, ID: "o"})),
		http.StatusBadRequest, codeInvalidParameter)
}

func TestInvalidKeysAreRefusedByField(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime, func(c *Config) { c.RequestsPerSecond = 50 })
	for form, wrong := range map[string]map[string]string{
		`{}`:                                 {"name": "is missing", "role": "is missing"},
		`{"name":" ","role":"root"}`:         {"name": "needs 1 to 100 characters", "role": `use marketplace, viewer, operator or admin`},
		`{"name":"a\u0007","role":"viewer"}`: {"name": "a control character, U+0007"},
		`{"name":"x","role":"viewer","scopes":["orders:write"]}`: {"scopes.0": "the role viewer does not have orders:write, only marketplace, " +
			"operator or admin has it"},
		`{"name":"x","role":"viewer","scopes":["orders:read","orders:read"]}`: {"scopes.1": "named twice"},
		`{"name":"x","role":"viewer","scopes":["everything"]}`:                {"scopes.0": `"everything" is not a scope`},
		`{"name":"x","role":"viewer","scopes":[]}`:                            {"scopes": "needs 1 to 50 items; it has 0"},
		`{"name":"x","role":"viewer","expires_at":"2020-01-01T00:00:00Z"}`:    {"expires_at": "is in the past"},
		`{"name":"x","role":"viewer","expires_at":"0001-01-01T00:00:00Z"}`:    {"expires_at": "is in the past"},
		`{"name":"x","role":"marketplace"}`: {"marketplaces": "a key of role marketplace needs at least one marketplace: " +
			"name one that has a pool, out of nordic"},
		`{"name":"x","role":"marketplace","marketplaces":[]}`:                    {"marketplaces": "needs at least one marketplace"},
		`{"name":"x","role":"marketplace","marketplaces":["nordic","northern"]}`: {"marketplaces.1": `the provider has no pool for "northern"`},
		`{"name":"x","role":"marketplace","marketplaces":["nordic","nordic"]}`:   {"marketplaces.1": "named twice"},
		`{"name":"x","role":"marketplace","marketplaces":["Nordic"]}`:            {"marketplaces.0": `the provider has no pool for "Nordic"`},
		`{"name":"x","role":"marketplace","marketplaces":"nordic"}`:              {"marketplaces": "must be a JSON array"},
		`{"name":"x","role":"marketplace","marketplaces":null}`:                  {"marketplaces": "must not be null"},
		`{"name":"x","role":"operator","marketplaces":["nordic"]}`:               {"marketplaces": "a key of role operator sees all marketplaces"},
		`{"name":"x","role":"viewer","requests_per_second":0.01}`:                {"requests_per_second": "is not a limit"},
		`{"name":"x","role":"viewer","requests_per_second":51}`:                  {"requests_per_second": "exceeds the limit of your own key, 50"},
		`{"name":"x","role":"viewer","secret":"qm_live_my_own"}`:                 {"secret": "unknown field"},
	} {
		got := fieldsOf(readProblem(t, w.send(w.key, http.MethodPost, "/v1/api-keys", form), http.StatusUnprocessableEntity, codeInvalid))
		require.ElementsMatch(t, slices.Collect(maps.Keys(wrong)), slices.Collect(maps.Keys(got)), form)
		for field, message := range wrong {
			require.Contains(t, got[field], message, form)
		}
	}
	require.Len(t, read[openapi.APIKeyPage](t, w.get("/v1/api-keys"), http.StatusOK).Items, 1)
}

func TestAKeyCannotCreateRotateOrRevokeAKeyThatMayDoMore(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	keeper, _ := w.create(t, `{"name":"keeper of keys","role":"admin","scopes":["keys:read","keys:write","orders:read","events:read"]}`)
	p := readProblem(t, w.send(keeper, http.MethodPost, "/v1/api-keys", `{"name":"x","role":"marketplace","marketplaces":["nordic"]}`),
		http.StatusForbidden, codeForbidden)
	require.Contains(t, p.Detail, "it lacks orders:write")
	readProblem(t, w.send(keeper, http.MethodPost, "/v1/api-keys", `{"name":"x","role":"admin"}`), http.StatusForbidden, codeForbidden)
	made := read[openapi.NewAPIKeyText](t, w.send(keeper, http.MethodPost, "/v1/api-keys",
		`{"name":"x","role":"marketplace","marketplaces":["nordic"],"scopes":["orders:read"]}`), http.StatusCreated)
	require.Equal(t, []provision.Scope{provision.ScopeOrdersRead}, made.APIKey.Scopes)

	p = readProblem(t, w.send(keeper, http.MethodPost, "/v1/api-keys/"+w.keyID()+"/rotate", ""), http.StatusForbidden, codeForbidden)
	require.Contains(t, p.Detail, "cannot rotate a key that may do more than itself")
	require.NotContains(t, p.Detail, "keys:read")
	p = readProblem(t, w.send(keeper, http.MethodPost, "/v1/api-keys/"+w.keyID()+"/revoke", ""), http.StatusForbidden, codeForbidden)
	require.Contains(t, p.Detail, "cannot revoke a key that may do more than itself")
	require.Equal(t, http.StatusOK, w.get("/v1/orders").Code)
	rotated := read[openapi.RotatedAPIKey](t, w.send(keeper, http.MethodPost, "/v1/api-keys/"+made.APIKey.ID+"/rotate", ""),
		http.StatusCreated)
	require.Equal(t, made.APIKey.Scopes, rotated.APIKey.Scopes)
	require.Equal(t, made.APIKey.Marketplaces, rotated.APIKey.Marketplaces)
	require.Len(t, read[openapi.APIKeyPage](t, w.get("/v1/api-keys"), http.StatusOK).Items, 4)
	read[openapi.APIKey](t, w.send(keeper, http.MethodPost, "/v1/api-keys/"+rotated.APIKey.ID+"/revoke", ""), http.StatusOK)
}

func TestAKeyExpiresAfterAYearUnlessItsCreatorSaysOtherwise(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	_, key := w.create(t, `{"name":"x","role":"viewer"}`)
	require.WithinDuration(t, time.Now().Add(provision.KeyLifetime), *key.ExpiresAt, time.Minute)
	_, key = w.create(t, `{"name":"x","role":"viewer","expires_at":null}`)
	require.Nil(t, key.ExpiresAt)
	_, key = w.create(t, `{"name":"x","role":"viewer","expires_at":"2099-01-01T00:00:00Z"}`)
	require.Equal(t, 2099, key.ExpiresAt.Year())
}

// A rotation whose answer was lost is sent again, and then the successor is rotated: neither shortens what was promised.
func TestTwoRotationsInARowHonorBothOverlaps(t *testing.T) {
	t.Parallel()
	clock := time.Now().UTC()
	w := setup(t, realTime, func(c *Config) { c.Now = func() time.Time { return clock } })
	first, key := w.create(t, `{"name":"x","role":"viewer"}`)
	rotate := func(id string, hours int) openapi.RotatedAPIKey {
		t.Helper()
		return read[openapi.RotatedAPIKey](t, w.send(w.key, http.MethodPost, "/v1/api-keys/"+id+"/rotate",
			fmt.Sprintf(`{"overlap_hours":%d}`, hours)), http.StatusCreated)
	}
	second := rotate(key.ID, 48)
	p := readProblem(t, w.send(w.key, http.MethodPost, "/v1/api-keys/"+key.ID+"/rotate", `{"overlap_hours":1}`), http.StatusConflict,
		codeConflict)
	require.Contains(t, p.Detail, "its successor is "+second.APIKey.ID+": rotate that one, also if its text is lost")
	third := rotate(second.APIKey.ID, 2)

	opens := func(texts ...string) (codes []int) {
		for _, text := range texts {
			codes = append(codes, w.send(text, http.MethodGet, "/v1/orders", "").Code)
		}
		return codes
	}
	clock = clock.Add(2*time.Hour - time.Second)
	require.Equal(t, []int{200, 200, 200}, opens(first, second.Secret, third.Secret))
	clock = clock.Add(2 * time.Second)
	require.Equal(t, []int{200, 401, 200}, opens(first, second.Secret, third.Secret))
	clock = clock.Add(46*time.Hour - 2*time.Second)
	require.Equal(t, []int{200, 401, 200}, opens(first, second.Secret, third.Secret))
	clock = clock.Add(2 * time.Second)
	require.Equal(t, []int{401, 401, 200}, opens(first, second.Secret, third.Secret))
}

func TestBothKeysAreValidDuringARotation(t *testing.T) {
	t.Parallel()
	clock := time.Now().UTC()
	w := setup(t, realTime, func(c *Config) { c.Now = func() time.Time { return clock } })
	old, key := w.create(t,
		fmt.Sprintf(`{"name":"store","role":"viewer","scopes":["orders:read"],"requests_per_second":7,"expires_at":%q}`,
			clock.Add(90*24*time.Hour).Format(time.RFC3339)))
	answer := w.send(w.key, http.MethodPost, "/v1/api-keys/"+key.ID+"/rotate", `{"overlap_hours":48}`)
	rotated := read[openapi.RotatedAPIKey](t, answer, http.StatusCreated)
	require.Equal(t, "/qm/v1/api-keys/"+rotated.APIKey.ID, answer.Header().Get("Location"))
	require.Equal(t, []any{key.Name, key.Role, key.Scopes, key.RequestsPerSecond},
		[]any{rotated.APIKey.Name, rotated.APIKey.Role, rotated.APIKey.Scopes, rotated.APIKey.RequestsPerSecond})
	require.WithinDuration(t, *key.ExpiresAt, *rotated.APIKey.ExpiresAt, time.Minute, "the new one lives as long as the old one was made for")
	require.Equal(t, rotated.APIKey.ID, *rotated.Replaced.ReplacedBy)
	require.WithinDuration(t, clock.Add(48*time.Hour), *rotated.Replaced.ExpiresAt, time.Second)

	opens := func(text string) int { return w.send(text, http.MethodGet, "/v1/orders", "").Code }
	require.Equal(t, []int{200, 200}, []int{opens(old), opens(rotated.Secret)})
	status, text := w.verb(w.key, key.ID, "rotate", "")
	require.Equal(t, http.StatusConflict, status)
	require.Contains(t, text, "its successor is "+rotated.APIKey.ID)
	for _, hours := range []string{"0", "721", "-1", "1.5", `"2"`} {
		status, _ = w.verb(w.key, rotated.APIKey.ID, "rotate", `{"overlap_hours":`+hours+`}`)
		require.Equal(t, http.StatusUnprocessableEntity, status, hours)
	}
	clock = clock.Add(48*time.Hour + time.Second)
	require.Equal(t, []int{401, 200}, []int{opens(old), opens(rotated.Secret)})
	status, _ = w.verb(w.otherKey, rotated.APIKey.ID, "rotate", "")
	require.Equal(t, http.StatusNotFound, status)
}

func TestARevokedKeyIsRefused(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	text, key := w.create(t, `{"name":"x","role":"viewer"}`)
	require.Equal(t, http.StatusOK, w.send(text, http.MethodGet, "/v1/orders", "").Code)
	status, _ := w.verb(w.otherKey, key.ID, "revoke", "")
	require.Equal(t, http.StatusNotFound, status)
	first := read[openapi.APIKey](t, w.send(w.key, http.MethodPost, "/v1/api-keys/"+key.ID+"/revoke", ""), http.StatusOK)
	require.NotNil(t, first.RevokedAt)
	require.Contains(t, readProblem(t, w.send(text, http.MethodGet, "/v1/orders", ""), http.StatusUnauthorized,
		codeUnauthorized).Detail, "is revoked")
	require.Equal(t, first, read[openapi.APIKey](t, w.send(w.key, http.MethodPost, "/v1/api-keys/"+key.ID+"/revoke", ""),
		http.StatusOK), "safe to repeat")
	status, _ = w.verb(w.key, key.ID, "rotate", "")
	require.Equal(t, http.StatusConflict, status)
}

func TestTheLastAdminCannotLockEverybodyOut(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	p := readProblem(t, w.send(w.key, http.MethodPost, "/v1/api-keys/"+w.keyID()+"/revoke", ""), http.StatusConflict, codeConflict)
	require.Contains(t, p.Detail, "create another key of role admin first, and use it to revoke this one")
	next, _ := w.create(t, `{"name":"next","role":"admin"}`)
	read[openapi.APIKey](t, w.send(next, http.MethodPost, "/v1/api-keys/"+w.keyID()+"/revoke", ""), http.StatusOK)
	readProblem(t, w.get("/v1/api-keys"), http.StatusUnauthorized, codeUnauthorized)
}

func TestTheUseOfAKeyIsRecordedOnceAMinute(t *testing.T) {
	t.Parallel()
	clock := time.Now()
	w := setup(t, func(c *Config) { c.Now = func() time.Time { return clock } })
	keys := w.countKeys()
	for range 5 {
		require.Equal(t, http.StatusOK, w.get("/v1/orders").Code)
	}
	require.Equal(t, 1, keys.uses)
	clock = clock.Add(2 * useEvery)
	require.Equal(t, http.StatusOK, w.get("/v1/orders").Code)
	require.Equal(t, 2, keys.uses)
	require.Equal(t, http.StatusUnauthorized, w.send(w.key+"x", http.MethodGet, "/v1/orders", "").Code)
	require.Equal(t, 2, keys.uses, "a guess is no use")
}

// countedKeys counts how often a key was looked for, and how often its use was recorded.
type countedKeys struct {
	APIKeys
	asked, uses int
}

func (s *countedKeys) Find(ctx context.Context, ids ...string) ([]provision.APIKey, error) {
	s.asked++
	return s.APIKeys.Find(ctx, ids...)
}

func (s *countedKeys) NoteUse(ctx context.Context, id string) error {
	s.uses++
	return s.APIKeys.NoteUse(ctx, id)
}

// countKeys counts from now on.
func (w *testAPI) countKeys() *countedKeys {
	keys := &countedKeys{APIKeys: w.store.APIKeys}
	w.change(func(c *Config) { c.APIKeys = keys })
	return keys
}

// Roles and scopes are defined once in the code, and the documents list the same ones.
func TestTheDocumentListsTheScopesOfEachRole(t *testing.T) {
	t.Parallel()
	c, err := loadContract()
	require.NoError(t, err)
	words := func(name string) (words []string) {
		for _, word := range c.doc.Components.Schemas[name].Value.Enum {
			words = append(words, fmt.Sprint(word))
		}
		return words
	}
	require.Equal(t, fmt.Sprint(provision.Roles), fmt.Sprint(words("Role")))
	require.ElementsMatch(t, strings.Fields(strings.Trim(fmt.Sprint(provision.RoleAdmin.Scopes()), "[]")), words("Scope"))

	table := "| scope |"
	for _, role := range provision.Roles {
		table += " " + string(role) + " |"
	}
	table += "\n|" + strings.Repeat("---|", 1+len(provision.Roles)) + "\n"
	for _, scope := range words("Scope") {
		table += "| `" + scope + "` |"
		for _, role := range provision.Roles {
			if role.Allows(provision.Scope(scope)) {
				table += " yes |"
			} else {
				table += " |"
			}
		}
		table += "\n"
	}
	require.Contains(t, c.doc.Components.SecuritySchemes[keyScheme].Value.Description, table)
	security, err := os.ReadFile("../docs/security.md")
	require.NoError(t, err)
	require.Contains(t, string(security), table)
}
