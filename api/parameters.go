package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"quartermaster/api/openapi"
	"quartermaster/api/resource"
)

// decodeParameters decodes the parameters of a request once and puts the values back, so that the validator and the handler read
// the same ones: path parameters without escapes, times in UTC, one line for each header. It returns what cannot be decoded.
func (op *operation) decodeParameters(c echo.Context) (found []finding, err error) {
	found, err = op.decodePath(c)
	if err != nil {
		return nil, err
	}
	return slices.Concat(found, op.decodeQuery(c), op.joinHeaders(c.Request().Header)), nil
}

// decodePath unescapes the path parameters if the router has not. Echo matches the escaped path, and leaves the parameters
// escaped, only if the request has a RawPath. Free text loses the white space around it.
func (op *operation) decodePath(c echo.Context) (found []finding, _ error) {
	values := slices.Clone(c.ParamValues())
	address := c.Request().URL
	for i, name := range c.ParamNames() {
		if strings.Contains(values[i], "/") { // Echo's last parameter contains the rest of the path
			return nil, echo.ErrNotFound
		}
		if address.RawPath != "" {
			text, err := url.PathUnescape(values[i])
			if err != nil {
				return nil, fmt.Errorf("a path that net/url has parsed cannot be unescaped: %w", err)
			}
			values[i] = text
		}
		why := notText(values[i])
		if parameter := op.route.PathItem.Parameters.GetByInAndName(openapi3.ParameterInPath, name); why == "" && parameter != nil {
			values[i], why = canonicalText(values[i], parameter.Schema.Value)
		}
		if why != "" {
			found = append(found, parameterFinding(openapi3.ParameterInPath, name, why))
		}
	}
	c.SetParamValues(values...)
	address.RawPath = "" // the generated code reads here whether the values are escaped
	return found, nil
}

// decodeQuery parses the query. A list with a misspelled filter must be refused, because its answer would look complete.
func (op *operation) decodeQuery(c echo.Context) (found []finding) {
	address := c.Request().URL
	if _, err := url.ParseQuery(address.RawQuery); err != nil {
		return []finding{parameterFinding(openapi3.ParameterInQuery, "",
			fmt.Sprintf("the query string cannot be read (%s): separate parameters by &, write %% as %%25 and ; as %%3B", err))}
	}
	query := c.QueryParams() // the generated code reads this very map
	for name, values := range query {
		parameter := op.Parameters.GetByInAndName(openapi3.ParameterInQuery, name)
		switch {
		case parameter == nil:
			found = append(found, parameterFinding(openapi3.ParameterInQuery, name, "unknown parameter: remove it, or check its spelling"))
			continue
		case len(values) > 1 && !parameter.Schema.Value.Type.Is(openapi3.TypeArray):
			found = append(found, parameterFinding(openapi3.ParameterInQuery, name, fmt.Sprintf("is given %d times: give it once", len(values))))
		}
		for i, text := range values {
			why := notText(text)
			if why == "" {
				values[i], why = canonicalText(text, parameter.Schema.Value)
				if why != "" && parameter.Schema.Value.Format == formatTime {
					why = fmt.Sprintf("%.100q is %s; in a query, write the + of a time zone as %%2B", text, why)
				}
			}
			if why != "" {
				found = append(found, parameterFinding(openapi3.ParameterInQuery, name, why))
			}
		}
	}
	found = append(found, invertedRanges(query)...)
	address.RawQuery = query.Encode()
	return found
}

// invertedRanges finds pairs such as created_after and created_before that no item can match.
func invertedRanges(query url.Values) (found []finding) {
	for name := range query {
		base, isEnd := strings.CutSuffix(name, "_before")
		if !isEnd || !query.Has(base+"_after") {
			continue
		}
		from, wrongFrom := parseTime(query.Get(base + "_after"))
		to, wrongTo := parseTime(query.Get(name))
		if wrongFrom == "" && wrongTo == "" && to.Before(from) {
			found = append(found, parameterFinding(openapi3.ParameterInQuery, name,
				fmt.Sprintf("%s is before %s_after, %s: nothing can match, so exchange the two",
					to.Format(time.RFC3339Nano), base, from.Format(time.RFC3339Nano))))
		}
	}
	return found
}

// joinHeaders joins the lines of a header that is a list, and refuses further lines of any other.
func (op *operation) joinHeaders(header http.Header) (found []finding) {
	for _, parameter := range op.Parameters {
		name := parameter.Value.Name
		lines := header.Values(name)
		switch {
		case parameter.Value.In != openapi3.ParameterInHeader || len(lines) < 2:
		case name == headerIfMatch || name == headerIfNoneMatch:
			header.Set(name, strings.Join(lines, ", ")) // RFC 9110, section 5.3
		default:
			found = append(found, parameterFinding(openapi3.ParameterInHeader, name, fmt.Sprintf("is given %d times: give it once", len(lines))))
		}
	}
	return found
}

func parameterFinding(in, name, message string) finding {
	return finding{FieldProblem: openapi.FieldProblem{In: in, Field: resource.Optional(name), Message: message}}
}

// notText says why a value cannot be a text, or returns "". PostgreSQL stores neither.
func notText(value string) string {
	switch {
	case !utf8.ValidString(value):
		return "is not UTF-8: encode it in UTF-8, then percent-encode it"
	case strings.ContainsRune(value, 0):
		return "contains the character U+0000: remove it"
	}
	return ""
}

// formatTime is the format of times in the document.
const formatTime = "date-time"

// parseTime reads a time and returns it in UTC, or says what is wrong with it. PostgreSQL accepts no offset of more than 16
// hours, and JSON has no year beyond 9999.
func parseTime(text string) (at time.Time, wrong string) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return at, "not a time: write it as in RFC 3339, such as 2026-11-22T10:00:00Z or 2026-11-22T11:00:00+01:00"
	}
	if at = at.UTC(); at.Year() < 1 || at.Year() > 9999 {
		return at, "out of range: use a time in the years 0001 to 9999 (UTC)"
	}
	return at, ""
}
