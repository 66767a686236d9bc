package api

import (
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestCursorsRoundTrip(t *testing.T) {
	t.Parallel()
	orders := provision.OrderCursor{CreatedAt: now.Add(123456000), ID: "a:b"}
	got, err := decodeCursor(encodeCursor(orders), validOrderCursor)
	require.NoError(t, err)
	require.Equal(t, orders, *got)
	accounts := provision.AccountCursor{AddedAt: now, ID: "111122223333"}
	gotAccount, err := decodeCursor(encodeCursor(accounts), validAccountCursor)
	require.NoError(t, err)
	require.Equal(t, accounts, *gotAccount)
	none, err := decodeCursor(nil, validOrderCursor)
	require.NoError(t, err)
	require.Nil(t, none)
}

func TestInvalidCursorsAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for name, cursor := range map[string]string{
		"no base64":             "abc",
		"no JSON":               encode("hello"),
		"of the other list":     *encodeCursor(provision.AccountCursor{AddedAt: now, ID: "111122223333"}),
		"without its time":      encode(`{"i":"MP-1"}`),
		"without its id":        encode(`{"c":"2026-11-22T10:00:00Z"}`),
		"with an impossible id": encode(`{"c":"2026-11-22T10:00:00Z","i":"a b"}`),
		"with something more":   encode(`{"c":"2026-11-22T10:00:00Z","i":"a","p":"globex"}`),
		"two of them":           encode(`{"c":"2026-11-22T10:00:00Z","i":"a"}{"c":"2026-11-22T10:00:00Z","i":"a"}`),
		"from before computers": encode(`{"c":"0001-11-22T10:00:00Z","i":"a"}`),
		"in another time zone":  encode(`{"c":"2026-11-22T10:00:00+23:59","i":"a"}`),
		"after all years":       encode(`{"c":"9999-12-31T23:59:59-23:59","i":"a"}`),
		"a name twice":          encode(`{"c":"2026-11-22T10:00:00Z","i":"b","i":"a"}`),
		"a name in capitals":    encode(`{"c":"2026-11-22T10:00:00Z","I":"a"}`),
		"a lone surrogate":      encode(`{"c":"2026-11-22T10:00:00Z","i":"\ud800"}`),
		"white space":           encode(`{"c":"2026-11-22T10:00:00Z","i":"a"} `),
		"null":                  encode(`null`),
		"not of its characters": "%21",
		"empty":                 "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := readProblem(t, w.get("/v1/orders?cursor="+cursor), http.StatusBadRequest, codeInvalidParameter)
			require.Contains(t, fieldsOf(p), "cursor")
		})
	}
	for _, cursor := range []*string{
		encodeCursor(provision.OrderCursor{CreatedAt: now, ID: "111122223333"}),
		encodeCursor(provision.AccountCursor{AddedAt: now, ID: "11112222333\x00"}),
	} {
		readProblem(t, w.get("/v1/accounts?cursor="+*cursor), http.StatusBadRequest, codeInvalidParameter)
	}
}
