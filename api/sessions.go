package api

import (
	"context"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// GetMe answers GET /v1/me.
func (s *service) GetMe(ctx context.Context, _ server.GetMeRequestObject) (server.GetMeResponseObject, error) {
	who := callerOf(ctx)
	me := openapi.Me{
		Provider: who.Provider, Actor: who.Actor(), Role: who.grant.Role, Scopes: who.grant.Rights(),
		Marketplaces: resource.OptionalSlice(who.grant.Marketplaces), RequestsPerSecond: s.callerBudget(who).rate,
	}
	if who.KeyID != "" {
		key, err := s.APIKeys.Get(ctx, who.Provider, who.KeyID)
		if err != nil {
			return nil, keyProblem(who.KeyID, err)
		}
		shown := resource.APIKey(key)
		me.APIKey = &shown
	}
	return server.GetMe200JSONResponse(me), nil
}

// ListSessions answers GET /v1/sessions.
func (s *service) ListSessions(ctx context.Context, _ server.ListSessionsRequestObject) (server.ListSessionsResponseObject, error) {
	found, err := s.Sessions.List(ctx, callerOf(ctx).Provider)
	if err != nil {
		return nil, err
	}
	answer := server.ListSessions200JSONResponse{Items: make([]openapi.Session, len(found))}
	for i, session := range found {
		role := provision.Role("")
		if who, ok := session.Principal(callerOf(ctx).Provider); ok {
			role = who.Grant.Role
		}
		answer.Items[i] = openapi.Session{
			Actor: session.Actor(), Role: role, SignedInAt: session.SignedInAt.UTC(), SeenAt: session.SeenAt.UTC(), EndsAt: session.EndsAt.UTC(),
		}
	}
	return answer, nil
}

// EndSessions answers POST /v1/sessions/end.
func (s *service) EndSessions(ctx context.Context, in server.EndSessionsRequestObject) (server.EndSessionsResponseObject, error) {
	who := callerOf(ctx)
	ended, err := s.Sessions.EndAll(ctx, who.Actor(), who.Provider, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return server.EndSessions200JSONResponse{Ended: ended}, nil
}
