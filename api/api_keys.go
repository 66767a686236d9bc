package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/apikey"
	"quartermaster/internal/provision"
)

// ListAPIKeys answers GET /v1/api-keys.
func (s *service) ListAPIKeys(ctx context.Context, in server.ListAPIKeysRequestObject) (server.ListAPIKeysResponseObject, error) {
	keys, next, err := list[provision.KeyCursor, provision.APIKey, openapi.APIKey]{
		valid: func(c provision.KeyCursor) bool { return plausible(c.CreatedAt) && apikey.ValidID(c.ID) },
		read: func(after *provision.KeyCursor, limit int) ([]provision.APIKey, error) {
			return s.APIKeys.List(ctx, callerOf(ctx).Provider, limit, after)
		},
		show: resource.APIKey,
		place: func(k provision.APIKey) provision.KeyCursor {
			return provision.KeyCursor{CreatedAt: k.CreatedAt.UTC(), ID: k.ID}
		},
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListAPIKeys200JSONResponse{Items: keys, NextCursor: next}, nil
}

// GetAPIKey answers GET /v1/api-keys/{key_id}.
func (s *service) GetAPIKey(ctx context.Context, in server.GetAPIKeyRequestObject) (server.GetAPIKeyResponseObject, error) {
	key, err := s.APIKeys.Get(ctx, callerOf(ctx).Provider, in.KeyID)
	if err != nil {
		return nil, keyProblem(in.KeyID, err)
	}
	return server.GetAPIKey200JSONResponse(resource.APIKey(key)), nil
}

// CreateAPIKey answers POST /v1/api-keys.
func (s *service) CreateAPIKey(ctx context.Context, in server.CreateAPIKeyRequestObject) (server.CreateAPIKeyResponseObject, error) {
	who := callerOf(ctx)
	text, key := apikey.New(who.Provider, in.Body.Name, in.Body.Role)
	key = s.wantedKey(key, *in.Body)
	if err := notBeyond(who, key, "create"); err != nil {
		return nil, err
	}
	making, err := once(ctx, in.Params.IdempotencyKey, in, key.ID)
	if err != nil {
		return nil, err
	}
	added, err := s.APIKeys.Create(making, who.Actor(), key)
	if err != nil {
		return nil, repeated(err, "made API key %s", onlyThen)
	}
	return server.CreateAPIKey201JSONResponse{
		Body:    openapi.NewAPIKeyText{APIKey: resource.APIKey(added), Secret: text},
		Headers: server.CreateAPIKey201ResponseHeaders{Location: s.keyLocation(added.ID)},
	}, nil
}

// onlyThen says how to get the text of a key whose first answer was lost.
const onlyThen = "and only the answer to that request had its text: if you do not have it, rotate that key with another Idempotency-Key"

// RotateAPIKey answers POST /v1/api-keys/{key_id}/rotate.
func (s *service) RotateAPIKey(ctx context.Context, in server.RotateAPIKeyRequestObject) (server.RotateAPIKeyResponseObject, error) {
	who := callerOf(ctx)
	old, err := s.APIKeys.Get(ctx, who.Provider, in.KeyID)
	if err != nil {
		return nil, keyProblem(in.KeyID, err)
	}
	if err := notBeyond(who, old, "rotate"); err != nil {
		return nil, err
	}
	overlap := provision.KeyOverlapDefault
	if hours := value(in.Body).OverlapHours; hours != nil {
		overlap = time.Duration(*hours) * time.Hour
	}
	text, successor := apikey.Successor(old, s.Now())
	making, err := once(ctx, in.Params.IdempotencyKey, in, successor.ID)
	if err != nil {
		return nil, err
	}
	added, old, err := s.APIKeys.Rotate(making, who.Actor(), who.Provider, in.KeyID, successor, s.Now().Add(overlap))
	if err != nil {
		return nil, repeated(keyProblem(in.KeyID, err), "replaced API key "+in.KeyID+" by %s", onlyThen)
	}
	return server.RotateAPIKey201JSONResponse{
		Body:    openapi.RotatedAPIKey{APIKey: resource.APIKey(added), Secret: text, Replaced: resource.APIKey(old)},
		Headers: server.RotateAPIKey201ResponseHeaders{Location: s.keyLocation(added.ID)},
	}, nil
}

// RevokeAPIKey answers POST /v1/api-keys/{key_id}/revoke.
func (s *service) RevokeAPIKey(ctx context.Context, in server.RevokeAPIKeyRequestObject) (server.RevokeAPIKeyResponseObject, error) {
	who := callerOf(ctx)
	key, err := s.APIKeys.Get(ctx, who.Provider, in.KeyID)
	if err != nil {
		return nil, keyProblem(in.KeyID, err)
	}
	if err := notBeyond(who, key, "revoke"); err != nil {
		return nil, err
	}
	if key, err = s.APIKeys.Revoke(ctx, who.Actor(), who.Provider, in.KeyID, value(value(in.Body).Reason), true); err != nil {
		return nil, keyProblem(in.KeyID, err)
	}
	return server.RevokeAPIKey200JSONResponse(resource.APIKey(key)), nil
}

// keyProblem turns an error about a key into what the caller is told.
func keyProblem(id string, err error) error {
	if errors.Is(err, provision.ErrNotFound) {
		return notFound(fmt.Sprintf("API key %q", id), err)
	}
	return err
}

// wantedKey gives a new key what the form asks for.
func (s *service) wantedKey(key provision.APIKey, form openapi.NewAPIKey) provision.APIKey {
	key.Scopes, key.Marketplaces, key.RateLimit = value(form.Scopes), value(form.Marketplaces), form.RequestsPerSecond
	if form.ExpiresAt.IsNull() {
		return key // it never expires
	}
	end, err := form.ExpiresAt.Get()
	if err != nil { // the form does not say
		end = s.Now().Add(provision.KeyLifetime)
	}
	key.ExpiresAt = &end
	return key
}

// notBeyond refuses to create, rotate or revoke a key with more rights than the caller has. The marketplaces of keys do not matter,
// because a key that is bound to some may not create keys.
func notBeyond(who caller, wanted provision.APIKey, verb string) error {
	if beyond := who.grant.Beyond(wanted.Grant()); len(beyond) > 0 {
		if who.KeyID == "" {
			return problem(codeForbidden, "your role cannot %s a key that may do more than you: you lack %s, so ask an admin",
				verb, provision.JoinWords(beyond, "and"))
		}
		return problem(codeForbidden,
			"your key cannot %s a key that may do more than itself: it lacks %s, so use a key that has that",
			verb, provision.JoinWords(beyond, "and"))
	}
	return nil
}

// keyRules checks a new key. A provider cannot create a key with a higher limit than the caller's; only the command line can.
func (s *service) keyRules(ctx context.Context, body []byte) ([]provision.FieldError, error) {
	var form openapi.NewAPIKey
	_ = json.Unmarshal(body, &form) // as in orderRules
	withPool, err := s.Pools.Marketplaces(ctx, callerOf(ctx).Provider)
	if err != nil {
		return nil, err
	}
	key := s.wantedKey(provision.APIKey{Name: form.Name, Role: form.Role}, form)
	broken := provision.ValidateAPIKey(key, s.Now(), withPool)
	if most := s.callerBudget(callerOf(ctx)).rate; form.RequestsPerSecond != nil && *form.RequestsPerSecond > most {
		broken = append(broken, provision.FieldError{Field: "requests_per_second",
			Message: fmt.Sprintf("%g exceeds the limit of your own key, %g: ask for at most that, or ask the operator of this service",
				*form.RequestsPerSecond, most)})
	}
	return broken, nil
}

func (s *service) keyLocation(id string) string { return s.basePath + "/v1/api-keys/" + id }
