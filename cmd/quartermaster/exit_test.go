package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func TestTheExitCodeSaysWhatKindOfFailureItWas(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	s.order("o-1", provision.Accepted)
	viewer := keyFile(t, s.must("keys", "create", "--name=viewer", "--role=viewer"))
	for code, args := range map[int][]string{
		0:            {"orders", "show", "o-1"},
		exitUsage:    {"orders", "shwo", "o-1"},
		exitNotFound: {"orders", "show", "o-2"},
		exitRefused:  {"orders", "retry", "o-1", "--reason=fixed"},
	} {
		err := s.run(args...).err
		if code == 0 {
			require.NoError(t, err)
			continue
		}
		require.Equal(t, code, exitCode(err), "%v: %v", args, err)
	}
	s.keyFile = viewer
	forbidden := s.run("orders", "cancel", "o-1", "--yes").err
	require.Equal(t, exitForbidden, exitCode(forbidden))
	require.Contains(t, inWords(forbidden), "requires the scope orders:write")
	s.keyFile = keyFile(t, "qm_live_000000000000_none")
	require.Equal(t, exitForbidden, exitCode(s.run("orders", "list").err))
	s.url, s.retryFor = "http://127.0.0.1:1", "0s"
	gone := s.run("orders", "list").err
	require.Equal(t, exitUnavailable, exitCode(gone))
	require.ErrorContains(t, gone, "no answer from 127.0.0.1:1")
}

func TestAMissingSettingSaysWhichVariableToSet(t *testing.T) {
	t.Parallel()
	for wanted, args := range map[string][]string{
		"set QM_API_URL (or --api-url)":           {"orders", "list"},
		"set QM_API_KEY, or name a file":          {"orders", "list", "--api-url=http://127.0.0.1:1"},
		"set QM_DATABASE_URL (or --database-url)": {"providers", "list"},
		"the file of the API key: open ":          {"orders", "list", "--api-url=http://127.0.0.1:1", "--api-key-file=/nonexistent"},
		"must have the form https://host":         {"orders", "list", "--api-url=host", "--api-key-file=" + keyFile(t, "qm_live_1_2")},
		"contains characters that no key has":     {"orders", "list", "--api-url=http://h", "--api-key-file=" + keyFile(t, "a\nb")},
	} {
		_, err := call(t, args...)
		require.ErrorContains(t, err, wanted)
		require.Equal(t, exitUsage, exitCode(err), wanted)
	}
}

func TestAMistypedCommandSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	for wanted, args := range map[string][]string{
		`did you mean "orders"?`:  {"ordrs", "list"},
		`did you mean "list"?`:    {"orders", "lits"},
		"use one of list, show":   {"orders", "banana"},
		`did you mean "--state"?`: {"orders", "list", "--stat=failed"},
		`expected one of "list"`:  {"alerts"},
	} {
		_, err := call(t, args...)
		require.ErrorContains(t, err, wanted, "%v", args)
		require.Equal(t, exitUsage, exitCode(err))
	}
}

func TestTheDocumentHasTheTableOfExitCodes(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/cli.md")
	require.NoError(t, err)
	var table strings.Builder
	table.WriteString("| code | meaning |\n|---|---|\n")
	for _, c := range exitCodes {
		fmt.Fprintf(&table, "| %d | %s |\n", c.code, c.meaning)
	}
	require.Contains(t, string(document), table.String())
}

func TestWhatThisProgramDoesNotKnowDoesNoHarm(t *testing.T) {
	t.Parallel()
	const order = `{"id":"o-1","marketplace":"nordic","environment":"lunar","order_mode":"new_account","iam_user_name":"a",` +
		`"aws_contact_name":"b","aws_account_alias":"c","state":"hibernating","since":"2030-01-01T00:00:00Z","step":"dream","steps":[],"leftovers":[],"notes":[],` +
		`"created_at":"2030-01-01T00:00:00Z","mood":{"is":["new"]},"failure":{"code":"Brandnew","reason":"line\u001b[31m\nbreak"}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/v1/orders" {
			fmt.Fprintf(w, `{"items":[%s],"weather":"fine"}`, order)
			return
		}
		fmt.Fprint(w, order)
	}))
	t.Cleanup(server.Close)
	options := []string{"--api-url=" + server.URL, "--api-key-file=" + keyFile(t, "qm_live_1_2")}
	list, err := call(t, append([]string{"orders", "list"}, options...)...)
	require.NoError(t, err)
	require.Regexp(t, `o-1 +hibernating +2030-01-01T00:00:00Z +nordic/lunar +- +dream +Brandnew: line \[31m break\n$`, list)
	raw, err := call(t, append([]string{"orders", "list", "--json"}, options...)...)
	require.NoError(t, err)
	require.True(t, raw == order+"\n", "the JSON is unchanged, not only equal: %s", raw) //nolint:testifylint // byte by byte
	shown, err := call(t, append([]string{"orders", "show", "o-1"}, options...)...)
	require.NoError(t, err)
	require.Contains(t, shown, "hibernating since")
	require.NotContains(t, shown, "\x1b")
}
