package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"quartermaster/internal/provision"
)

// ListAPIKeys answers GET /v1/api-keys.
func (s *server) ListAPIKeys(ctx context.Context, in ListAPIKeysRequestObject) (ListAPIKeysResponseObject, error) {
	after, err := decodeCursor(in.Params.Cursor, func(c provision.KeyCursor) bool {
		return plausible(c.CreatedAt) && keyCursorPattern.MatchString(c.ID)
	})
	if err != nil {
		return nil, err
	}
	size := pageSize(in.Params.Limit)
	found, err := s.APIKeys.List(ctx, callerOf(ctx).Provider, size+1, after)
	if err != nil {
		return nil, err
	}
	shown, more := page(found, size)
	answer := ListAPIKeys200JSONResponse{Items: make([]APIKey, len(shown))}
	for i, key := range shown {
		answer.Items[i] = keyResource(key)
	}
	if more {
		last := shown[size-1]
		answer.NextCursor = encodeCursor(provision.KeyCursor{CreatedAt: last.CreatedAt.UTC(), ID: last.ID})
	}
	return answer, nil
}

var keyCursorPattern = regexp.MustCompile(`^[0-9A-Za-z-]{1,40}$`)

// GetAPIKey answers GET /v1/api-keys/{key_id}.
func (s *server) GetAPIKey(ctx context.Context, in GetAPIKeyRequestObject) (GetAPIKeyResponseObject, error) {
	key, err := s.APIKeys.Get(ctx, callerOf(ctx).Provider, in.KeyID)
	if err != nil {
		return nil, keyProblem(in.KeyID, err)
	}
	return GetAPIKey200JSONResponse(keyResource(key)), nil
}

// CreateAPIKey answers POST /v1/api-keys.
func (s *server) CreateAPIKey(ctx context.Context, in CreateAPIKeyRequestObject) (CreateAPIKeyResponseObject, error) {
	who := callerOf(ctx)
	text, key := NewKey(who.Provider, in.Body.Name, in.Body.Role)
	key.Scopes, key.ExpiresAt, key.RateLimit = value(in.Body.Scopes), in.Body.ExpiresAt, in.Body.RequestsPerSecond
	if err := notBeyond(who.key, key, "make"); err != nil {
		return nil, err
	}
	added, err := s.APIKeys.Create(ctx, who.Actor(), key)
	if err != nil {
		return nil, err
	}
	return CreateAPIKey201JSONResponse{
		Body:    NewAPIKeyText{APIKey: keyResource(added), Secret: text},
		Headers: CreateAPIKey201ResponseHeaders{Location: s.keyLocation(added.ID)},
	}, nil
}

// RotateAPIKey answers POST /v1/api-keys/{key_id}/rotate.
func (s *server) RotateAPIKey(ctx context.Context, in RotateAPIKeyRequestObject) (RotateAPIKeyResponseObject, error) {
	who := callerOf(ctx)
	old, err := s.APIKeys.Get(ctx, who.Provider, in.KeyID)
	if err != nil {
		return nil, keyProblem(in.KeyID, err)
	}
	if err := notBeyond(who.key, old, "rotate"); err != nil {
		return nil, err
	}
	overlap := provision.KeyOverlapDefault
	if hours := value(in.Body).OverlapHours; hours != nil {
		overlap = time.Duration(*hours) * time.Hour
	}
	text, successor := Successor(old, s.Now())
	added, old, err := s.APIKeys.Rotate(ctx, who.Actor(), who.Provider, in.KeyID, successor, s.Now().Add(overlap))
	if err != nil {
		return nil, keyProblem(in.KeyID, err)
	}
	return RotateAPIKey201JSONResponse{
		Body:    RotatedAPIKey{APIKey: keyResource(added), Secret: text, Replaced: keyResource(old)},
		Headers: RotateAPIKey201ResponseHeaders{Location: s.keyLocation(added.ID)},
	}, nil
}

// RevokeAPIKey answers POST /v1/api-keys/{key_id}/revoke.
func (s *server) RevokeAPIKey(ctx context.Context, in RevokeAPIKeyRequestObject) (RevokeAPIKeyResponseObject, error) {
	who := callerOf(ctx)
	key, err := s.APIKeys.Revoke(ctx, who.Actor(), who.Provider, in.KeyID, true)
	if err != nil {
		return nil, keyProblem(in.KeyID, err)
	}
	return RevokeAPIKey200JSONResponse(keyResource(key)), nil
}

// keyProblem is what the caller is told when the database refuses something about a key.
func keyProblem(id string, err error) error {
	if errors.Is(err, provision.ErrNotFound) {
		return problem(codeNotFound, "there is no API key %q", id).because(err)
	}
	return err
}

// notBeyond refuses to hand out more rights than the caller has: a key is no way to more of them.
func notBeyond(who, wanted provision.APIKey, verb string) error {
	if beyond := who.Beyond(wanted); len(beyond) > 0 {
		return problem(codeForbidden, "your key cannot %s one that may do more than itself: it does not have %s; use a key that has, or ask for fewer scopes",
			verb, provision.JoinWords(beyond, "and"))
	}
	return nil
}

// keyRules check what the document cannot say of a new key. A provider cannot give itself more requests a second than the
// caller has: only the command line can.
func (s *server) keyRules(ctx context.Context, body []byte) ([]provision.FieldError, error) {
	var form NewAPIKey
	_ = json.Unmarshal(body, &form) // as in orderRules
	broken := provision.ValidateAPIKey(provision.APIKey{Name: form.Name, Role: form.Role, Scopes: value(form.Scopes), ExpiresAt: form.ExpiresAt,
		RateLimit: form.RequestsPerSecond}, s.Now())
	if most := s.keyBudget(callerOf(ctx)).rate; form.RequestsPerSecond != nil && *form.RequestsPerSecond > most {
		broken = append(broken, provision.FieldError{Field: "requests_per_second",
			Message: fmt.Sprintf("%g is more than the %g of your own key: ask for at most that, or ask the operator of this service", *form.RequestsPerSecond, most)})
	}
	return broken, nil
}

func (s *server) keyLocation(id string) string { return s.basePath + "/v1/api-keys/" + id }

func keyResource(k provision.APIKey) APIKey {
	return APIKey{
		ID:                k.ID,
		Name:              k.Name,
		Role:              k.Role,
		Scopes:            k.Rights(),
		RequestsPerSecond: k.RateLimit,
		CreatedAt:         k.CreatedAt.UTC(),
		CreatedBy:         optional(k.CreatedBy),
		ExpiresAt:         utc(k.ExpiresAt),
		RevokedAt:         utc(k.RevokedAt),
		LastUsedAt:        utc(k.LastUsedAt),
		ReplacedBy:        optional(k.ReplacedBy),
	}
}
