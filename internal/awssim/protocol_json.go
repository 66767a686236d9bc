package awssim

import (
	"encoding/json"
	"net/http"
	"strings"
)

// jsonProtocol is awsJson1.1, the protocol of CUR and Data Exports. The header X-Amz-Target names the operation.
type jsonProtocol struct{ target string }

func (p jsonProtocol) decode(c *call) *apiError {
	target := c.http.Header.Get("X-Amz-Target")
	name, ok := strings.CutPrefix(target, p.target+".")
	if !ok {
		c.name = target
		return p.unknown(c)
	}
	c.name = name
	input, err := decodeJSON(c.body)
	if err != nil {
		return refuse(http.StatusBadRequest, "SerializationException", "The request is not JSON: "+err.Error())
	}
	c.input = input
	return nil
}

func (p jsonProtocol) invalid(_ *call, found []violation) *apiError {
	return refuse(http.StatusBadRequest, "ValidationException", describe(found))
}

func (p jsonProtocol) mistyped(_ *call, wrong *wrongType) *apiError {
	return refuse(http.StatusBadRequest, "SerializationException", "The value at '"+wrong.path+"' is not a "+wrong.want+".")
}

func (p jsonProtocol) unknown(c *call) *apiError {
	return refuse(http.StatusBadRequest, "UnknownOperationException",
		"The requested operation "+c.name+" is not supported in the called version.")
}

func (p jsonProtocol) refusal(c *call, kind refusalKind, message string) *apiError {
	switch kind {
	case throttled:
		return refuse(http.StatusBadRequest, "ThrottlingException", message)
	case internalError:
		if c.service == "cur" {
			return refuse(http.StatusInternalServerError, "InternalErrorException", message)
		}
	}
	e := jsonRefusal(kind, message)
	if e.status == http.StatusForbidden {
		e.status = http.StatusBadRequest // awsJson answers every client error with 400
	}
	return e
}

// jsonRefusal has the codes that both JSON protocols share, with the statuses of restJson.
func jsonRefusal(kind refusalKind, message string) *apiError {
	switch kind {
	case accessDenied:
		return refuse(http.StatusForbidden, "AccessDeniedException", message)
	case unknownKey:
		return refuse(http.StatusForbidden, "UnrecognizedClientException", message)
	case expiredToken:
		return refuse(http.StatusForbidden, "ExpiredTokenException", message)
	case incompleteSignature:
		return refuse(http.StatusForbidden, "IncompleteSignatureException", message)
	case throttled:
		return refuse(http.StatusTooManyRequests, "TooManyRequestsException", message)
	case internalError:
		return refuse(http.StatusInternalServerError, "InternalServerException", message)
	case unavailable:
		return refuse(http.StatusServiceUnavailable, "ServiceUnavailableException", message)
	}
	return refuse(http.StatusForbidden, "InvalidSignatureException", message)
}

func (p jsonProtocol) succeed(c *call, out any) *response {
	if out == nil {
		out = struct{}{}
	}
	return p.response(c, http.StatusOK, out)
}

func (p jsonProtocol) fail(c *call, e *apiError) *response {
	return p.response(c, e.status, errorBody(e, map[string]any{"__type": e.code}))
}

func (p jsonProtocol) response(c *call, status int, out any) *response {
	body, err := json.Marshal(out)
	must(err)
	return &response{status: status, header: http.Header{"Content-Type": {"application/x-amz-json-1.1"},
		"X-Amzn-Requestid": {c.requestID}}, body: body}
}

// errorBody returns the body of a JSON error with its additional members.
func errorBody(e *apiError, body map[string]any) map[string]any {
	body["message"] = e.message
	for name, value := range e.detail {
		body[name] = value
	}
	return body
}
