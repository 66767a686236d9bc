package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

const headerIdempotencyKey = "Idempotency-Key"

// onceOf identifies a request that has an Idempotency-Key; nil: it has none. in is the request as the handler gets it, and makes is
// the id of what it makes. Source: draft-ietf-httpapi-idempotency-key-header.
func onceOf(ctx context.Context, key *string, in any, makes string) (*provision.Once, error) {
	if key == nil {
		return nil, nil //nolint:nilnil // no key is no error
	}
	content, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encoding a request: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%T %s", in, content)) // the type names the operation
	who := callerOf(ctx)
	return &provision.Once{Provider: who.Provider, Caller: who.ID, Key: *key, SHA256: sum[:], Makes: makes}, nil
}

// once is onceOf for a request that one call to the database carries out. That call gets the returned context.
func once(ctx context.Context, key *string, in any, makes string) (context.Context, error) {
	request, err := onceOf(ctx, key, in, makes)
	return provision.WithOnce(ctx, request), err
}

// repeated turns the error about a repeated request into what the caller is told. made says what the earlier request did, with the
// id in place of %s, and help says how to get a secret now.
func repeated(err error, made, help string) error {
	repeat, ok := errors.AsType[*provision.RepeatError](err)
	if !ok {
		return err
	}
	at := repeat.At.UTC()
	switch {
	case repeat.Running:
		return problem(codeStillRunning, "a request with this Idempotency-Key is running: repeat yours in a moment to learn what it made").
			because(err)
	case repeat.Differs:
		const why = "an earlier request with this Idempotency-Key asked for something else, at %s: " +
			"choose a new key for a new request, or send the earlier one unchanged"
		return problem(codeIdempotencyKeyReused, why, at.Format(time.RFC3339)).because(err).at(openapi.FieldProblem{
			In: "header", Field: resource.Optional(headerIdempotencyKey), Message: "belongs to another request"})
	}
	p := problem(codeAlreadyDone, "an earlier request with this Idempotency-Key "+made+" at %s, %s", repeat.Made,
		at.Format(time.RFC3339), help)
	p.earlier = &openapi.EarlierRequest{ID: repeat.Made, At: at}
	return p.because(err)
}
