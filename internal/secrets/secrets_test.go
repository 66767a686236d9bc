package secrets_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"quartermaster/internal/secrets"
)

func ring(t *testing.T, keys ...string) *secrets.Ring {
	t.Helper()
	r, err := secrets.ParseRing(strings.Join(keys, ","))
	require.NoError(t, err)
	return r
}

func TestSealedOpensOnlyForItsPurpose(t *testing.T) {
	t.Parallel()
	r := ring(t, secrets.GenerateKey("k1"))
	sealed, err := r.Seal([]byte("hunter2"), "password/a")
	require.NoError(t, err)
	require.NotContains(t, string(sealed), "hunter2")

	opened, err := r.Open(sealed, "password/a")
	require.NoError(t, err)
	require.Equal(t, "hunter2", string(opened))

	_, err = r.Open(sealed, "password/b")
	require.ErrorIs(t, err, secrets.ErrNotSealed)
	sealed[len(sealed)-1] ^= 1
	_, err = r.Open(sealed, "password/a")
	require.ErrorIs(t, err, secrets.ErrNotSealed)
	_, err = r.Open([]byte("rubbish"), "password/a")
	require.ErrorIs(t, err, secrets.ErrNotSealed)
}

func TestRotationKeepsOldSealsReadable(t *testing.T) {
	t.Parallel()
	old, fresh := secrets.GenerateKey("k1"), secrets.GenerateKey("k2")
	sealed, err := ring(t, old).Seal([]byte("x"), "p")
	require.NoError(t, err)

	both := ring(t, fresh, old)
	opened, err := both.Open(sealed, "p")
	require.NoError(t, err)
	require.Equal(t, "x", string(opened))

	again, err := both.Seal([]byte("x"), "p")
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(again, []byte("k2\x00")), "the first key seals")
	_, err = ring(t, old).Open(again, "p")
	require.ErrorIs(t, err, secrets.ErrUnknownKey)
}

func TestTheKeySealsThatEveryProcessHas(t *testing.T) {
	t.Parallel()
	k1, k2, k3 := secrets.GenerateKey("k1"), secrets.GenerateKey("k2"), secrets.GenerateKey("k3")
	name := func(key string) string { return ring(t, key).Active() }
	names := func(keys ...string) []string { return ring(t, keys...).Names() }
	for what, c := range map[string]struct {
		own    []string
		others [][]string
		seals  string
		common bool
	}{
		"alone, the first":                            {[]string{k2, k1}, nil, k2, true},
		"all have both":                               {[]string{k2, k1}, [][]string{names(k2, k1), names(k1, k2)}, k2, true},
		"one lacks the new one":                       {[]string{k2, k1}, [][]string{names(k2, k1), names(k1)}, k1, true},
		"one has dropped the old one":                 {[]string{k1, k2}, [][]string{names(k2)}, k2, true},
		"nothing in common: what most have":           {[]string{k3, k2, k1}, [][]string{names(k2), names(k1), names(k1)}, k1, false},
		"nothing in common, and as many: the first":   {[]string{k2, k1}, [][]string{names(k1), names(k2)}, k2, false},
		"no other process has any":                    {[]string{k2}, [][]string{names(k1)}, k2, false},
		"the same id is not the same key":             {[]string{k2, k1}, [][]string{names(secrets.GenerateKey("k2"), k1)}, k1, true},
		"the same id is not the same key: none is":    {[]string{k1}, [][]string{names(secrets.GenerateKey("k1"))}, k1, false},
		"a key that only others have changes nothing": {[]string{k1}, [][]string{names(k2, k1), names(k2, k1)}, k1, true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := ring(t, c.own...)
			require.Equal(t, c.common, r.Follow(c.others))
			require.Equal(t, name(c.seals), r.Active())
			sealed, err := r.Seal([]byte("x"), "p")
			require.NoError(t, err)
			opened, err := ring(t, c.seals).Open(sealed, "p")
			require.NoError(t, err)
			require.Equal(t, "x", string(opened))
			id, _, _ := strings.Cut(c.seals, ":")
			require.Contains(t, r.LastUsed(), id)
			require.Len(t, r.LastUsed(), 1)
		})
	}
}

func TestNamesOfKeysAreStableAndHideThem(t *testing.T) {
	t.Parallel()
	r, err := secrets.NewRing(secrets.Key{ID: "k1", Secret: bytes.Repeat([]byte{7}, secrets.KeySize)})
	require.NoError(t, err)
	require.Equal(t, []string{"k1:3b25b219"}, r.Names(), "processes of two versions compare them")
}

func TestASignatureHoldsForEveryRingThatHasTheKey(t *testing.T) {
	t.Parallel()
	k1, k2 := secrets.GenerateKey("k1"), secrets.GenerateKey("k2")
	before, during, after := ring(t, k1), ring(t, k2, k1), ring(t, k2)
	message := []byte("an id")
	old, fresh := before.Sign(message, "p"), during.Sign(message, "p")
	require.True(t, before.Verify(message, old, "p"))
	require.True(t, during.Verify(message, old, "p"), "a rotation ends no link")
	require.False(t, after.Verify(message, old, "p"))
	require.True(t, after.Verify(message, fresh, "p"))
	require.False(t, before.Verify(message, fresh, "p"))

	during.Follow([][]string{before.Names()})
	require.True(t, before.Verify(message, during.Sign(message, "p"), "p"), "what a process signs, all can verify")

	require.False(t, during.Verify([]byte("another id"), fresh, "p"))
	require.False(t, during.Verify(message, fresh, "q"))
	require.False(t, during.Verify(message, fresh[:31], "p"))
	require.False(t, during.Verify(message, nil, "p"))
}

func TestParseRingNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := secrets.GenerateKey("a")
	for text, want := range map[string]string{
		"":                      "written as id:base64",
		"a:%%%":                 `key "a" is not base64`,
		"a:AAAA":                `key "a" has 3 bytes`,
		good + "," + good:       `"a" appears twice`,
		"no spaces here!:" + "": "key id",
	} {
		_, err := secrets.ParseRing(text)
		require.ErrorContains(t, err, want, "ring %q", text)
	}
}

func TestConvertersHideDataAndFailureMessages(t *testing.T) {
	t.Parallel()
	data, failures := secrets.Converters(ring(t, secrets.GenerateKey("k1")))
	payload, err := data.ToPayload(map[string]string{"phone": "+49 30 1234"})
	require.NoError(t, err)
	wire, err := proto.Marshal(payload)
	require.NoError(t, err)
	require.NotContains(t, string(wire), "1234")
	require.NotContains(t, string(wire), "json/plain", "the encoding is sealed with the data")
	var back map[string]string
	require.NoError(t, data.FromPayload(payload, &back))
	require.Equal(t, "+49 30 1234", back["phone"])

	failure := failures.ErrorToFailure(temporal.NewNonRetryableApplicationError("alias blue-sky is taken", "AliasTaken", nil, "blue-sky"))
	text, err := protojson.Marshal(failure)
	require.NoError(t, err)
	require.NotContains(t, string(text), "blue-sky")
	require.Contains(t, string(text), "AliasTaken", "the type is not sealed: it must never carry data")
	var app *temporal.ApplicationError
	require.ErrorAs(t, failures.FailureToError(failure), &app)
	require.Equal(t, "alias blue-sky is taken", app.Message())
}

// unreadable is what f panics with; nil when it does not.
func unreadable(f func()) (u *secrets.Unreadable) {
	defer func() { u, _ = recover().(*secrets.Unreadable) }()
	f()
	return nil
}

func TestStrictConvertersPanicWithWhatTheyCannotRead(t *testing.T) {
	t.Parallel()
	k1, k2 := secrets.GenerateKey("k1"), secrets.GenerateKey("k2")
	theirs, theirFailures := secrets.Converters(ring(t, k2))
	ours, ourFailures := secrets.Strict(ring(t, k1))
	payload, err := theirs.ToPayload(map[string]string{"a": "b"})
	require.NoError(t, err)
	payloads, err := theirs.ToPayloads(map[string]string{"a": "b"}, 7)
	require.NoError(t, err)
	failure := theirFailures.ErrorToFailure(temporal.NewApplicationError("taken", "AliasTaken", "blue-sky"))
	details := proto.CloneOf(failure)
	details.EncodedAttributes = nil // only the details are sealed
	own, err := ours.ToPayload("text")
	require.NoError(t, err)
	changed := proto.CloneOf(own)
	changed.Data[len(changed.Data)-1] ^= 1

	var into map[string]string
	for what, read := range map[string]func(){
		"a payload":             func() { _ = ours.FromPayload(payload, &into) },
		"payloads":              func() { _ = ours.FromPayloads(payloads, &into) },
		"the text of a failure": func() { _ = ourFailures.FailureToError(proto.CloneOf(failure)) },
		"details of a failure": func() {
			var text string
			if app, ok := errors.AsType[*temporal.ApplicationError](ourFailures.FailureToError(proto.CloneOf(details))); ok {
				_ = app.Details(&text)
			}
		},
		"what was changed":         func() { _ = ours.FromPayload(changed, &into) },
		"what is of another shape": func() { _ = ours.FromPayload(own, &into) },
	} {
		got := unreadable(read)
		require.NotNil(t, got, what)
		require.ErrorContains(t, got, "repeated until a worker can", what)
	}
	require.ErrorIs(t, unreadable(func() { _ = ours.FromPayload(payload, &into) }), secrets.ErrUnknownKey)

	// What anyone can read, and what was sent by hand, is as ever.
	var text string
	require.NoError(t, ours.FromPayload(own, &text))
	require.Equal(t, "text", text)
	require.NoError(t, ours.FromPayloads(nil))
	readable, err := converter.GetDefaultDataConverter().ToPayload("by hand")
	require.NoError(t, err)
	require.NoError(t, ours.FromPayload(readable, &text))
	require.Equal(t, "by hand", text)
	require.Error(t, ours.FromPayload(readable, &into), "an error, no panic")
	both, _ := secrets.Strict(ring(t, k1, k2))
	require.NoError(t, both.FromPayload(payload, &into))
	require.Equal(t, "b", into["a"])

	// The API's client gets an error.
	mine, _ := secrets.Converters(ring(t, k1))
	require.ErrorIs(t, mine.FromPayload(payload, &into), secrets.ErrUnknownKey)
}

func TestTheUnsealedConverterReadsWhatIsSealedAsNothing(t *testing.T) {
	t.Parallel()
	sealing, _ := secrets.Converters(ring(t, secrets.GenerateKey("k1")))
	sealed, err := sealing.ToPayload("summary")
	require.NoError(t, err)
	open := secrets.Unsealed()
	var text string
	require.NoError(t, open.FromPayload(sealed, &text))
	require.Empty(t, text)
	readable, err := open.ToPayload("summary")
	require.NoError(t, err)
	require.Equal(t, `"summary"`, string(readable.GetData()))
	require.NoError(t, open.FromPayload(readable, &text))
	require.Equal(t, "summary", text)
	require.Error(t, open.FromPayload(readable, &map[string]string{}))
}

func TestCodecHandler(t *testing.T) {
	t.Parallel()
	r := ring(t, secrets.GenerateKey("k1"))
	server := httptest.NewServer(secrets.CodecHandler(r, "http://ui.test", "sesame"))
	t.Cleanup(server.Close)

	sealed, err := secrets.NewCodec(r).Encode([]*commonpb.Payload{
		{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"hello"`)},
	})
	require.NoError(t, err)
	body, err := protojson.Marshal(&commonpb.Payloads{Payloads: sealed})
	require.NoError(t, err)
	ask := func(method, origin, token string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/decode", bytes.NewReader(body))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Origin", origin)
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		t.Cleanup(func() { _ = response.Body.Close() })
		return response
	}
	require.Equal(t, http.StatusForbidden, ask(http.MethodPost, "http://evil.test", "sesame").StatusCode)
	require.Equal(t, http.StatusUnauthorized, ask(http.MethodPost, "http://ui.test", "").StatusCode)
	require.Equal(t, http.StatusUnauthorized, ask(http.MethodPost, "http://ui.test", "wrong").StatusCode)
	preflight := ask(http.MethodOptions, "http://ui.test", "")
	require.Equal(t, http.StatusNoContent, preflight.StatusCode)
	require.Equal(t, "http://ui.test", preflight.Header.Get("Access-Control-Allow-Origin"))

	// The SDK's own client of a codec server reads it.
	remote := converter.NewRemoteDataConverter(converter.GetDefaultDataConverter(), converter.RemoteDataConverterOptions{
		Endpoint: server.URL,
		ModifyRequest: func(request *http.Request) error {
			request.Header.Set("Authorization", "Bearer sesame")
			return nil
		},
	})
	var hello string
	require.NoError(t, remote.FromPayload(sealed[0], &hello))
	require.Equal(t, "hello", hello)
}
