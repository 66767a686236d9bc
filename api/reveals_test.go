package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
)

func revealForm(token string) map[string]any { return map[string]any{"token": token} }

func TestAPasswordIsShownOnce(t *testing.T) {
	t.Parallel()
	store, db := openDatabase(t)
	w := setupOn(t, store)
	w.completedOrder("done-1")
	link, err := url.Parse(*read[openapi.Order](t, w.get("/v1/orders/done-1"), http.StatusOK).Result.Password.URL)
	require.NoError(t, err)
	require.Equal(t, "/qm/reveal", link.Path)
	require.Empty(t, link.RawQuery, "the secret is in the fragment, which reaches no server")

	answer := w.send("", http.MethodPost, "/v1/password-reveals", asText(revealForm(link.Fragment)))
	shown := read[openapi.RevealedPassword](t, answer, http.StatusOK)
	require.Equal(t, openapi.RevealedPassword{SignInURL: "https://berg-logistics.signin.aws.amazon.com/console/",
		IAMUserName: "anna.berg", Password: passwordText}, shown)
	require.Equal(t, "no-store", answer.Header().Get("Cache-Control"))
	var shownTo string
	require.NoError(t, db.Get(&shownTo, `SELECT revealed_to FROM order_passwords`))
	require.Equal(t, "192.0.2.1", shownTo, "the database names the address")

	again := readProblem(t, w.send("", http.MethodPost, "/v1/password-reveals", asText(revealForm(link.Fragment))),
		http.StatusGone, codeLinkUsedUp)
	require.Contains(t, again.Detail, "ask the person or the company that sent it to you for a new link")
	require.Contains(t, again.Detail, "72 hours")
}

func TestALinkIsShownOnlyWhileItWorks(t *testing.T) {
	t.Parallel()
	clock := now
	w := setup(t, func(c *Config) { c.Now = func() time.Time { return clock } })
	order := w.completedOrder("done-1")
	password := func() openapi.Password {
		return *read[openapi.Order](t, w.get("/v1/orders/done-1"), http.StatusOK).Result.Password
	}
	require.NotNil(t, password().URL)
	clock = order.Password.Link.ExpiresAt
	require.Nil(t, password().URL, "expired")
	require.True(t, order.Password.Link.ExpiresAt.Equal(*password().ExpiresAt))
	clock = now
	read[openapi.RevealedPassword](t, w.send("", http.MethodPost, "/v1/password-reveals", asText(revealForm(w.token(order)))), http.StatusOK)
	require.Nil(t, password().URL, "revealed")
	require.WithinDuration(t, time.Now(), *password().RevealedAt, time.Minute)
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	order := w.completedOrder("done-1")
	token := w.token(order)
	id, signature, _ := strings.Cut(token, ".")
	elsewhere := setupOn(t, w.store, func(c *Config) { c.Signer = ringOf(t, secrets.GenerateKey("k1")) })
	unknown := w.service.revealToken(uuid.MustParse("00000000-0000-4000-8000-000000000000"))
	flipped := []byte(token)
	flipped[0] ^= 1
	for name, bad := range map[string]string{
		"rubbish": "rubbish", "without its signature": id, "with an empty one": id + ".",
		"with half of it": id + "." + signature[:20], "without its id": "." + signature,
		"with something more": token + "A", "signed elsewhere": elsewhere.token(order), "of another id": string(flipped),
		"of an unknown id": unknown,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readProblem(t, w.send("", http.MethodPost, "/v1/password-reveals", asText(revealForm(bad))), http.StatusNotFound, codeNotFound)
		})
	}
	p := readProblem(t, w.send("", http.MethodPost, "/v1/password-reveals", `{}`), http.StatusUnprocessableEntity, codeInvalid)
	require.Equal(t, map[string]string{"token": "is missing: it is required"}, fieldsOf(p))
	t.Cleanup(func() { requireKept(t, w) })
}

// requireKept fails when the password of order done-1 was revealed.
func requireKept(t *testing.T, w *testAPI) {
	t.Helper()
	order, err := w.store.Orders.Get(context.WithoutCancel(t.Context()), provision.Tenant{Provider: "acme"}, "done-1")
	require.NoError(t, err)
	require.Nil(t, order.Password.Link.RevealedAt)
}

func ringOf(t *testing.T, keys ...string) *secrets.Ring {
	t.Helper()
	ring, err := secrets.ParseRing(strings.Join(keys, ","))
	require.NoError(t, err)
	return ring
}

// During a rotation one replica has the new key in front and another one has only the old key. A link of either opens at both, and
// a link from before the rotation goes on working after it.
func TestLinksOutliveARotation(t *testing.T) {
	t.Parallel()
	k1, k2 := secrets.GenerateKey("k1"), secrets.GenerateKey("k2")
	first := setup(t)
	order := first.completedOrder("done-1")
	with := func(ring *secrets.Ring) *testAPI { return setupOn(t, first.store, func(c *Config) { c.Signer = ring }) }
	rotated := ringOf(t, k2, k1)
	before := with(ringOf(t, k1)).token(order)
	require.True(t, rotated.Follow([][]string{ringOf(t, k1).Names()}))
	for _, w := range []*testAPI{with(ringOf(t, k1)), with(rotated)} {
		for _, token := range []string{before, with(rotated).token(order)} {
			id, ok := w.service.openRevealToken(token)
			require.True(t, ok)
			require.Equal(t, order.Password.Link.ID, id.String())
		}
	}
	read[openapi.RevealedPassword](t, with(rotated).send("", http.MethodPost, "/v1/password-reveals", asText(revealForm(before))),
		http.StatusOK)
}

// Another replica, or a worker, sealed it with a key that this process does not have yet.
func TestAPasswordUnderAnotherKeyIsUnavailable(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.change(func(c *Config) { c.Sealer = ringOf(t, secrets.GenerateKey("k2")) })
	order := w.completedOrder("done-1")
	p := readProblem(t, w.send("", http.MethodPost, "/v1/password-reveals", asText(revealForm(w.token(order)))),
		http.StatusServiceUnavailable, codeUnavailable)
	require.Contains(t, p.Detail, "the link stays valid")
	requireKept(t, w)
}

// A row that was put in another's place does not open: the purpose names order and account.
func TestPasswordOpensOnlyForItsOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.change(func(c *Config) { c.Passwords = misplacedPasswords{c.Passwords} })
	order := w.completedOrder("done-1")
	p := readProblem(t, w.send("", http.MethodPost, "/v1/password-reveals", asText(revealForm(w.token(order)))),
		http.StatusInternalServerError, provision.CodeInternal)
	require.Contains(t, p.Detail, "tell the person or the company that sent it to you")
	requireKept(t, w) // what cannot be opened is not lost
	require.Contains(t, w.log.String(), "password of order acme/done-2")
}

func TestAPasswordStaysWhenTheDatabaseFails(t *testing.T) {
	t.Parallel()
	w := setup(t)
	form := asText(revealForm(w.token(w.completedOrder("done-1"))))
	w.change(func(c *Config) { c.Passwords = brokenPasswords{c.Passwords} })
	readProblem(t, w.send("", http.MethodPost, "/v1/password-reveals", form), http.StatusInternalServerError, provision.CodeInternal)
	w.change(func(c *Config) { c.Passwords = w.store.Passwords })
	read[openapi.RevealedPassword](t, w.send("", http.MethodPost, "/v1/password-reveals", form), http.StatusOK)
}

// misplacedPasswords returns the password of another order.
type misplacedPasswords struct{ Passwords }

func (s misplacedPasswords) Reveal(ctx context.Context, id, to string, open func(provision.RevealedPassword) error) error {
	return s.Passwords.Reveal(ctx, id, to, func(revealed provision.RevealedPassword) error {
		revealed.OrderKey.ID = "done-2"
		return open(revealed)
	})
}

// brokenPasswords fails to reveal a password.
type brokenPasswords struct{ Passwords }

func (brokenPasswords) Reveal(context.Context, string, string, func(provision.RevealedPassword) error) error {
	return errors.New("broken")
}

func TestRevealPage(t *testing.T) {
	t.Parallel()
	w := setup(t)
	page := w.send("", http.MethodGet, "/reveal", "")
	require.Equal(t, http.StatusOK, page.Code)
	require.Equal(t, "text/html; charset=utf-8", page.Header().Get("Content-Type"))
	require.Contains(t, page.Header().Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'")
	require.Equal(t, "no-referrer", page.Header().Get("Referrer-Policy"))
	require.Equal(t, "DENY", page.Header().Get("X-Frame-Options"))
	html := page.Body.String()
	require.NotRegexp(t, `(?i)\son[a-z]+=|style=|javascript:`, html, "the policy allows nothing inline")
	for _, script := range regexp.MustCompile(`(?s)<script([^>]*)>(.*?)</script>`).FindAllStringSubmatch(html, -1) {
		require.Contains(t, script[1], "src=")
		require.Empty(t, script[2])
	}
	for _, part := range []string{`lang="en"`, `aria-live="polite"`, "<noscript>", "<main>"} {
		require.Contains(t, html, part)
	}
	// Every file that the page uses is served next to it, so that the page also works below a path.
	files := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(html, -1)
	require.Len(t, files, 2)
	for _, file := range files {
		answer := w.send("", http.MethodGet, "/"+file[1], "")
		require.Equal(t, http.StatusOK, answer.Code, file[1])
		require.NotEmpty(t, answer.Body.String())
		require.Regexp(t, `^text/(css|javascript); charset=utf-8$`, answer.Header().Get("Content-Type"))
	}
	script := w.send("", http.MethodGet, "/reveal/reveal.js", "").Body.String()
	for _, id := range regexp.MustCompile(`byId\("([^"]+)"\)`).FindAllStringSubmatch(script, -1) {
		require.Contains(t, html, `id="`+id[1]+`"`, "the script uses it")
	}
	require.NotContains(t, script, "innerHTML")
	readProblem(t, w.send("", http.MethodGet, "/reveal/", ""), http.StatusNotFound, codeNotFound)
}
