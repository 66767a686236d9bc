package secrets

import (
	"crypto/subtle"
	"fmt"
	"net/http"
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
		if string(p.GetMetadata()[encodingKey]) != encodingSealed {
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

// Converters are what every Temporal client of the product is made with: data sealed, and the messages and stack traces
// of failures too.
func Converters(ring *Ring) (converter.DataConverter, converter.FailureConverter) {
	data := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), NewCodec(ring))
	return data, temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter:          data,
		EncodeCommonAttributes: true,
	})
}

// CodecHandler serves /encode and /decode for the Web UI and the CLI. Only the given origin may call it from a browser,
// and, when a token is given, only with it as bearer.
func CodecHandler(ring *Ring, origin, token string) http.Handler {
	codec := converter.NewPayloadCodecHTTPHandler(NewCodec(ring))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Vary", "Origin")
		if from := r.Header.Get("Origin"); from != "" {
			if from != origin {
				http.Error(w, "this codec serves another Web UI", http.StatusForbidden)
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
