package awssim

import (
	"encoding/json"
	"net/http"
	"strings"
)

// restProtocol is restJson1 in the one form that the account API uses: POST /operationName with a JSON body.
type restProtocol struct{}

func (p restProtocol) decode(c *call) *apiError {
	path := strings.TrimPrefix(c.http.URL.Path, "/")
	if path != "" {
		c.name = strings.ToUpper(path[:1]) + path[1:]
	}
	if c.http.Method != http.MethodPost {
		return p.unknown(c)
	}
	input, err := decodeJSON(c.body)
	if err != nil {
		return refuse(http.StatusBadRequest, "SerializationException", "The request is not JSON: "+err.Error())
	}
	c.input = input
	return nil
}

func (p restProtocol) invalid(_ *call, found []violation) *apiError {
	fields := make([]map[string]string, len(found))
	for i, v := range found {
		fields[i] = map[string]string{"name": v.path, "message": v.message}
	}
	e := refuse(http.StatusBadRequest, "ValidationException", describe(found))
	e.detail = map[string]any{"reason": "fieldValidationFailed", "fieldList": fields}
	return e
}

func (p restProtocol) mistyped(_ *call, wrong *wrongType) *apiError {
	return refuse(http.StatusBadRequest, "SerializationException", "The value at '"+wrong.path+"' is not a "+wrong.want+".")
}

func (p restProtocol) unknown(c *call) *apiError {
	return refuse(http.StatusBadRequest, "UnknownOperationException",
		"There is no operation "+c.name+" at "+c.http.Method+" "+c.http.URL.Path+".")
}

func (p restProtocol) refusal(_ *call, kind refusalKind, message string) *apiError {
	return jsonRefusal(kind, message)
}

func (p restProtocol) succeed(c *call, out any) *response {
	if out == nil {
		return &response{status: http.StatusOK, header: p.header(c), body: []byte("{}")}
	}
	body, err := json.Marshal(out)
	must(err)
	return &response{status: http.StatusOK, header: p.header(c), body: body}
}

func (p restProtocol) fail(c *call, e *apiError) *response {
	header := p.header(c)
	header.Set("X-Amzn-Errortype", e.code)
	body, err := json.Marshal(errorBody(e, map[string]any{}))
	must(err)
	return &response{status: e.status, header: header, body: body}
}

func (p restProtocol) header(c *call) http.Header {
	return http.Header{"Content-Type": {"application/json"}, "X-Amzn-Requestid": {c.requestID}}
}
