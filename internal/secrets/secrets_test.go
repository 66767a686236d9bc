package secrets_test

import (
	"bytes"
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

func TestParseRingNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := secrets.GenerateKey("a")
	for text, want := range map[string]string{
		"":                      "written as id:base64",
		"a:%%%":                 `key "a" is not base64`,
		"a:AAAA":                `key "a" has 3 bytes`,
		good + "," + good:       `"a" stands there twice`,
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

func TestCodecHandler(t *testing.T) {
	t.Parallel()
	r := ring(t, secrets.GenerateKey("k1"))
	server := httptest.NewServer(secrets.CodecHandler(r, "http://ui.test", "sesame"))
	t.Cleanup(server.Close)

	sealed, err := secrets.NewCodec(r).Encode([]*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"hello"`)}})
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
