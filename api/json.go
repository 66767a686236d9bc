package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth limits the nesting of a body. No schema nests deeper than 4.
const maxDepth = 20

// parseJSON reads one JSON value strictly. It refuses what two readers could understand differently: a name that an object
// has twice, a string that is not Unicode, and anything around the value. It also refuses NUL, which PostgreSQL cannot store.
// It returns a number that is an integer as its digits, so that 60, 60.0 and 6e1 are the same for every reader. Errors: a
// problem with status 400.
func parseJSON(text []byte) (any, error) {
	if bytes.HasPrefix(text, []byte("\xef\xbb\xbf")) {
		return nil, problem(codeInvalidJSON, "the body begins with a byte order mark: send the JSON without it")
	}
	p := jsonParser{jsontext.NewDecoder(bytes.NewReader(text))}
	v, err := p.value()
	if err != nil {
		return nil, p.problem(err)
	}
	if _, err = p.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, problem(codeInvalidJSON, "something follows the JSON at byte %d: send one value only", p.InputOffset())
	}
	return v, nil
}

type jsonParser struct{ *jsontext.Decoder }

// value reads the next value. Objects become map[string]any, arrays []any and numbers json.Number.
func (p jsonParser) value() (any, error) {
	token, err := p.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		if p.StackDepth() > maxDepth {
			return nil, p.refuse("nests deeper than %d levels: no body of this service does", maxDepth)
		}
		if token.Kind() == jsontext.KindBeginArray {
			return p.array()
		}
		return p.object()
	case jsontext.KindString:
		return p.text(token)
	case jsontext.KindNumber:
		return p.number(token.String())
	case jsontext.KindTrue, jsontext.KindFalse:
		return token.Bool(), nil
	}
	return nil, nil //nolint:nilnil // null
}

func (p jsonParser) object() (any, error) {
	object := map[string]any{}
	for p.PeekKind() != jsontext.KindEndObject {
		token, err := p.ReadToken()
		if err != nil {
			return nil, err
		}
		name, err := p.text(token)
		if err != nil {
			return nil, err
		}
		if object[name], err = p.value(); err != nil {
			return nil, err
		}
	}
	_, err := p.ReadToken()
	return object, err
}

func (p jsonParser) array() (any, error) {
	items := []any{}
	for p.PeekKind() != jsontext.KindEndArray {
		item, err := p.value()
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	_, err := p.ReadToken()
	return items, err
}

func (p jsonParser) text(token jsontext.Token) (string, error) {
	text := token.String()
	if why := notText(text); why != "" {
		return "", p.refuse("%s", why)
	}
	return text, nil
}

func (p jsonParser) number(text string) (json.Number, error) {
	if f, err := strconv.ParseFloat(text, 64); err != nil || math.IsInf(f, 0) {
		return "", p.refuse("is too large: use a number between -1.7e308 and 1.7e308")
	}
	return json.Number(plainInteger(text)), nil
}

// refuse is the problem with the value that was just read.
func (p jsonParser) refuse(message string, args ...any) *problemError {
	return invalidJSON(p.StackPointer(), fmt.Sprintf(message, args...))
}

// problem says what is wrong with the JSON, and where.
func (p jsonParser) problem(err error) error {
	if known, ok := errors.AsType[*problemError](err); ok {
		return known
	}
	syntactic, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return invalidJSON(syntactic.JSONPointer, "is given twice in the same object: give it once")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return problem(codeInvalidJSON, "the JSON ends too early, at byte %d: send all of it", p.InputOffset())
	case ok:
		return problem(codeInvalidJSON, "the body is not JSON at byte %d: %s", syntactic.ByteOffset, syntactic.Err)
	}
	return problem(codeInvalidJSON, "the body is not JSON: %s", err)
}

// invalidJSON refuses a body because of the value at a pointer.
func invalidJSON(at jsontext.Pointer, message string) *problemError {
	var tokens []string
	for token := range at.Tokens() {
		tokens = append(tokens, token)
	}
	where := string(at)
	if where == "" {
		where = "the body"
	}
	return problem(codeInvalidJSON, "%.200s %s", where, message).at(fieldAt(tokens, message))
}

// plainInteger writes a JSON number that is an integer below 10^15 as its digits. It leaves any other number as it is.
func plainInteger(number string) string {
	mantissa, exponentText, _ := strings.Cut(strings.ToLower(number), "e")
	exponent, err := strconv.Atoi(exponentText)
	if exponentText != "" && err != nil {
		return number
	}
	sign := ""
	if digits, negative := strings.CutPrefix(mantissa, "-"); negative {
		sign, mantissa = "-", digits
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	exponent -= len(fraction)
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0"
	}
	significant := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(significant)
	if exponent < 0 || len(significant)+exponent > 15 {
		return number
	}
	return sign + significant + strings.Repeat("0", exponent)
}
