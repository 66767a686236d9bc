package api

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"quartermaster/api/openapi"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

const (
	headerETag        = "ETag"
	headerIfMatch     = "If-Match"
	headerIfNoneMatch = "If-None-Match"
)

// etag is a strong validator: it changes with every change that the API shows. Source: RFC 9110, section 8.8.3.
func etag(a provision.Account) string { return etagOf(a.Version) }

func etagOf(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// entityTag is one entity tag of a header.
type entityTag struct {
	text string // with its quotes
	weak bool
}

// entityTags parses the value of If-Match or If-None-Match. all is true for *. Source: RFC 9110, section 13.1.
func entityTags(header, text string) (tags []entityTag, all bool, err error) {
	if strings.TrimSpace(text) == "*" {
		return nil, true, nil
	}
	for rest := text; ; {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			break
		}
		opaque, weak := strings.CutPrefix(rest, "W/")
		end := -1
		if strings.HasPrefix(opaque, `"`) {
			end = strings.IndexByte(opaque[1:], '"') + 1
		}
		if end <= 0 || strings.ContainsFunc(opaque[1:end], func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return nil, false, notEntityTag(header)
		}
		tags = append(tags, entityTag{opaque[:end+1], weak})
		if rest = strings.TrimLeft(opaque[end+1:], " \t"); rest != "" && rest[0] != ',' {
			return nil, false, notEntityTag(header)
		}
	}
	if len(tags) == 0 {
		return nil, false, notEntityTag(header)
	}
	return tags, false, nil
}

func notEntityTag(header string) error {
	return invalidParameters(openapi.FieldProblem{In: "header", Field: resource.Optional(header),
		Message: `not an entity tag: send the ETag that you read unchanged, such as "7" with its quotes, several separated by commas, or *`})
}

// condition is the If-Match of a request: the versions at which it may take effect.
type condition struct {
	versions []int64
	weak     string // a weak tag of the header, which matches nothing
}

// conditionOf reads If-Match. Without the header, and with *, any version matches.
func conditionOf(ifMatch *string) (condition, error) {
	if ifMatch == nil {
		return condition{versions: []int64{anyVersion}}, nil
	}
	tags, all, err := entityTags(headerIfMatch, *ifMatch)
	if all || err != nil {
		return condition{versions: []int64{anyVersion}}, err
	}
	var match condition
	for _, tag := range tags {
		version, err := strconv.ParseInt(strings.Trim(tag.text, `"`), 10, 64)
		switch {
		case tag.weak:
			match.weak = "W/" + tag.text
		case err == nil && version > 0 && etagOf(version) == tag.text && !slices.Contains(match.versions, version):
			match.versions = append(match.versions, version)
		}
	}
	if len(match.versions) == 0 {
		match.versions = []int64{noVersion}
	}
	return match, nil
}

// anyVersion matches every version, and noVersion matches none.
const (
	anyVersion int64 = 0
	noVersion  int64 = -1
)

// requiredCondition is conditionOf for a change that is refused without If-Match.
func requiredCondition(what string, ifMatch *string) (condition, error) {
	if ifMatch == nil {
		return condition{}, problem(codePreconditionRequired, "send the ETag of the %s that you read in the header If-Match", what)
	}
	return conditionOf(ifMatch)
}

// try makes the change at the first version that matches.
func (m condition) try(change func(version int64) error) (err error) {
	for _, version := range m.versions {
		if err = change(version); !errors.Is(err, provision.ErrStale) {
			return err
		}
	}
	if m.weak != "" {
		return problem(codePreconditionFailed, "%.100s is a weak ETag, and If-Match never matches a weak one: "+
			"send the ETag that you read unchanged, without W/; a proxy that compresses answers may have added it", m.weak)
	}
	return err
}

// conditional is conditional for an operation that has that answer in the document.
func (op *operation) conditional(next echo.HandlerFunc) echo.HandlerFunc {
	if op.Responses.Value(strconv.Itoa(http.StatusNotModified)) == nil {
		return next
	}
	return conditional(next)
}

// conditional answers a read with 304 if the caller has that version already. Source: RFC 9110, section 13.1.2.
func conditional(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		header := c.Request().Header
		if len(header.Values(headerIfNoneMatch)) == 0 {
			return next(c)
		}
		tags, all, err := entityTags(headerIfNoneMatch, header.Get(headerIfNoneMatch)) // its lines are joined
		if err != nil {
			return err
		}
		response := c.Response()
		body := &droppableBody{ResponseWriter: response.Writer}
		response.Writer = body
		response.Before(func() {
			current := response.Header().Get(headerETag)
			known := all || slices.ContainsFunc(tags, func(tag entityTag) bool { return tag.text == strings.TrimPrefix(current, "W/") })
			if response.Status == http.StatusOK && current != "" && known {
				response.Status, body.dropped = http.StatusNotModified, true
				response.Header().Del(echo.HeaderContentType)
				response.Header().Del(headerContentEncoding)
			}
		})
		return next(c)
	}
}

// droppableBody drops the body of an answer that must not have one.
type droppableBody struct {
	http.ResponseWriter
	dropped bool
}

// Write writes a part of the body.
func (w *droppableBody) Write(part []byte) (int, error) {
	if w.dropped {
		return len(part), nil
	}
	return w.ResponseWriter.Write(part)
}

// Unwrap returns the writer below, for http.ResponseController.
func (w *droppableBody) Unwrap() http.ResponseWriter { return w.ResponseWriter }
