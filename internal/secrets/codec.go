package secrets

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"slices"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
)

const (
	encodingKey    = "encoding"
	encodingSealed = "binary/encrypted"
	codecPurpose   = "temporal-payload"
	maxCodecBody   = 8 << 20
)

// Codec seals every payload that goes to Temporal: inputs, results, memos, details, and, through the failure converter,
// messages and stack traces. The whole payload is sealed, its encoding included. What is not a payload stays readable:
// workflow ids, search attributes, activity and error types.
type Codec struct{ ring *Ring }

var _ converter.PayloadCodec = (*Codec)(nil)

// NewCodec makes the codec of a ring.
func NewCodec(ring *Ring) *Codec { return &Codec{ring} }

// Encode seals the payloads.
func (c *Codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("sealing a payload: %w", err)
		}
		sealed, err := c.ring.Seal(plain, codecPurpose)
		if err != nil {
			return nil, fmt.Errorf("sealing a payload: %w", err)
		}
		out[i] = &commonpb.Payload{Metadata: map[string][]byte{encodingKey: []byte(encodingSealed)}, Data: sealed}
	}
	return out, nil
}

// Decode opens what Encode sealed and leaves other payloads as they are: a signal sent by hand needs no key.
func (c *Codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if !isSealed(p) {
			out[i] = p
			continue
		}
		plain, err := c.ring.Open(p.GetData(), codecPurpose)
		if err != nil {
			return nil, fmt.Errorf("opening a payload: %w", err)
		}
		out[i] = &commonpb.Payload{}
		if err := proto.Unmarshal(plain, out[i]); err != nil {
			return nil, fmt.Errorf("opening a payload: %w", err)
		}
	}
	return out, nil
}

// Converters returns the converters of the Temporal clients, except for the clients of Strict and Unsealed. They seal data, and
// the messages and stack traces of failures. A payload that they cannot open is an error.
func Converters(ring *Ring) (converter.DataConverter, converter.FailureConverter) {
	return withFailures(converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), NewCodec(ring)))
}

func withFailures(data converter.DataConverter) (converter.DataConverter, converter.FailureConverter) {
	return data, temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter:          data,
		EncodeCommonAttributes: true,
	})
}

// Strict returns the converters of the client that a worker runs on. They differ from Converters in one thing: they panic with an
// *Unreadable when this process cannot read a sealed payload, because it lacks the key or is of another version.
//
// Temporal's SDK makes most errors of a converter an outcome: a workflow whose input cannot be read fails, an update is
// refused, a signal is dropped, a failure loses its details. A panic fails the workflow task instead, which is repeated until
// a worker has the key (worker.Options.WorkflowPanicPolicy is BlockWorkflow), and in an activity it fails the attempt, which
// is retried. A payload that was sent unsealed, by hand, and cannot be read is an ordinary error.
func Strict(ring *Ring) (converter.DataConverter, converter.FailureConverter) {
	data, _ := Converters(ring)
	return withFailures(strict{data})
}

// Unreadable is what the Strict converters panic with.
type Unreadable struct{ Err error }

// Error says what could not be read, and what happens next.
func (u *Unreadable) Error() string {
	return "this process cannot read a sealed payload; the task is repeated until a worker can: " + u.Err.Error()
}

// Unwrap returns the error of the converter.
func (u *Unreadable) Unwrap() error { return u.Err }

type strict struct{ converter.DataConverter }

// FromPayload reads a payload.
func (s strict) FromPayload(payload *commonpb.Payload, value any) error {
	return panicIfSealed(s.DataConverter.FromPayload(payload, value), payload)
}

// FromPayloads reads payloads.
func (s strict) FromPayloads(payloads *commonpb.Payloads, values ...any) error {
	return panicIfSealed(s.DataConverter.FromPayloads(payloads, values...), payloads.GetPayloads()...)
}

func panicIfSealed(err error, payloads ...*commonpb.Payload) error {
	if err != nil && slices.ContainsFunc(payloads, isSealed) {
		panic(&Unreadable{err})
	}
	return err
}

func isSealed(payload *commonpb.Payload) bool {
	return string(payload.GetMetadata()[encodingKey]) == encodingSealed
}

// Unsealed returns the converter of a client for data that is not secret and that every process must be able to read, such as
// the summary of a schedule. It reads a sealed payload as nothing.
func Unsealed() converter.DataConverter { return unsealed{converter.GetDefaultDataConverter()} }

type unsealed struct{ converter.DataConverter }

// FromPayload reads a payload, unless it is sealed.
func (u unsealed) FromPayload(payload *commonpb.Payload, value any) error {
	if isSealed(payload) {
		return nil
	}
	return u.DataConverter.FromPayload(payload, value)
}

// CodecHandler serves /encode and /decode for Temporal's Web UI and CLI. A browser may call it only from the given origin. When a
// token is given, every call must send it as a bearer token.
func CodecHandler(ring *Ring, origin, token string) http.Handler {
	codec := converter.NewPayloadCodecHTTPHandler(NewCodec(ring))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Vary", "Origin")
		if from := r.Header.Get("Origin"); from != "" {
			if from != origin {
				http.Error(w, "the origin is not the one in QM_CODEC_ORIGIN", http.StatusForbidden)
				return
			}
			header.Set("Access-Control-Allow-Origin", origin)
			header.Set("Access-Control-Allow-Credentials", "true")
			header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Namespace")
			header.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
		}
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if token != "" {
			given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1 {
				http.Error(w, "send the codec's token as Authorization: Bearer", http.StatusUnauthorized)
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxCodecBody)
		codec.ServeHTTP(w, r)
	})
}
