package api

import (
	"strconv"
	"strings"

	"quartermaster/api/openapi"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// etag is a strong validator: it changes with every change that the API shows. Source: RFC 9110, section 8.8.3.
func etag(a provision.Account) string { return etagOf(a.Version) }

func etagOf(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// neededVersion reads If-Match for an update that is refused without it.
func neededVersion(what string, ifMatch *string) (int64, error) {
	if ifMatch == nil {
		return 0, problem(codePreconditionRequired, "send the ETag of the %s that you read in the header If-Match", what)
	}
	return versionOf(ifMatch)
}

// versionOf reads If-Match; 0 means any version.
func versionOf(ifMatch *string) (int64, error) {
	if ifMatch == nil || strings.TrimSpace(*ifMatch) == "*" {
		return 0, nil
	}
	text, err := strconv.Unquote(strings.TrimSpace(*ifMatch))
	if err == nil {
		var version int64
		if version, err = strconv.ParseInt(text, 10, 64); err == nil && version > 0 {
			return version, nil
		}
	}
	return 0, invalidParameters(openapi.FieldProblem{In: "header", Field: resource.Optional("If-Match"),
		Message: `not an ETag of this service: send one unchanged, such as "7" with the quotes, or *`})
}
