package api

import (
	"context"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
)

// ListRoles answers GET /v1/roles.
func (s *service) ListRoles(context.Context, server.ListRolesRequestObject) (server.ListRolesResponseObject, error) {
	answer := server.ListRoles200JSONResponse{}
	for _, role := range provision.Roles {
		answer.Items = append(answer.Items, openapi.RoleDescription{Role: role, Scopes: role.Scopes(), Description: role.Description()})
	}
	return answer, nil
}
