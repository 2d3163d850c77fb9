package emotionllama

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Code is the number of a failure, the same in every release. It is an error, so that errors.Is(err, NotFound) asks for a kind of
// failure. Later releases of the library may have more.
type Code uint32

const (
	// InvalidArgument: an option or argument has a value that cannot be used.
	InvalidArgument Code = 1
	// MediaUndecodable: the input is not media that can be decoded.
	MediaUndecodable Code = 2
	// MediaTooLarge: the input goes beyond a limit.
	MediaTooLarge Code = 3
	// NotFound: a file or pack that was named is not there. It is fs.ErrNotExist for errors.Is.
	NotFound Code = 4
	// PackInvalid: a pack is there but cannot be used.
	PackInvalid Code = 5
	// OutOfMemory: memory or threads ran out.
	OutOfMemory Code = 6
	// Overloaded: too much is already running; try again.
	Overloaded Code = 7
	// Cancelled: the caller cancelled the work.
	Cancelled Code = 8
	// Timeout: the work took longer than the caller allowed.
	Timeout Code = 9
	// Internal: a defect in the library.
	Internal Code = 10
	// Unreachable: a server cannot be reached, or is none.
	Unreachable Code = 11
)

var codeNames = map[Code]string{
	InvalidArgument:  "invalid_argument",
	MediaUndecodable: "media_undecodable",
	MediaTooLarge:    "media_too_large",
	NotFound:         "not_found",
	PackInvalid:      "pack_invalid",
	OutOfMemory:      "out_of_memory",
	Overloaded:       "overloaded",
	Cancelled:        "cancelled",
	Timeout:          "timeout",
	Internal:         "internal",
	Unreachable:      "unreachable",
}

// Statuses of HTTP, as a server gives them: 499 is what proxies call a caller who went away.
var codeStatuses = map[Code]int{
	InvalidArgument:  400,
	MediaUndecodable: 400,
	MediaTooLarge:    413,
	NotFound:         404,
	PackInvalid:      500,
	OutOfMemory:      503,
	Overloaded:       503,
	Cancelled:        499,
	Timeout:          504,
	Internal:         500,
	Unreachable:      502,
}

// HTTPStatus gives the status of HTTP that the server gives this kind of failure, for example 404; 0 for codes that this package does
// not know.
func (c Code) HTTPStatus() int { return codeStatuses[c] }

// String gives the code's name, for example "not_found".
func (c Code) String() string {
	if name, known := codeNames[c]; known {
		return name
	}
	return fmt.Sprintf("code_%d", uint32(c))
}

// Error is String.
func (c Code) Error() string { return c.String() }

// ErrClosed is what calls on a handle that was closed fail with, within an *Error.
var ErrClosed = errors.New("already closed")

// ErrLibrary is within the *Error that says why libemotionllama could not be loaded.
var ErrLibrary = errors.New("libemotionllama cannot be loaded")

// Error is why a call failed.
type Error struct {
	// Code is the kind of the failure.
	Code Code
	// Name is the name of Code, for example "not_found"; also of codes that this package does not know.
	Name string
	// Message is one sentence for a person: what happened, where, and what to do.
	Message string

	causes []error
}

func newError(code Code, message string, causes ...error) *Error {
	return &Error{Code: code, Name: code.String(), Message: message, causes: causes}
}

// Error gives the message and the name.
func (e *Error) Error() string { return "emotion-llama: " + e.Message + " (" + e.Name + ")" }

// Is reports whether target is this error's [Code], or fs.ErrNotExist for NotFound.
func (e *Error) Is(target error) bool {
	if target == fs.ErrNotExist {
		return e.Code == NotFound
	}
	code, isCode := target.(Code)
	return isCode && code == e.Code
}

// Unwrap gives the errors that led to this one: those of a context that ended, of a reader, [ErrClosed] or [ErrLibrary].
func (e *Error) Unwrap() []error { return e.causes }

// ended is the failure of work whose context ended: Timeout when its deadline passed, otherwise Cancelled.
func ended(ctx context.Context) *Error {
	causes := []error{ctx.Err()}
	if cause := context.Cause(ctx); cause != ctx.Err() {
		causes = append(causes, cause)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return newError(Timeout, "the context's deadline passed before the work was done", causes...)
	}
	return newError(Cancelled, "the context was cancelled before the work was done", causes...)
}

// failure takes a status over; nil for nil. Work that was cancelled because ctx ended fails with what ended it.
func (f *functions) failure(ctx context.Context, status *nativeStatus) error {
	if status == nil {
		return nil
	}
	defer f.StatusFree(status)
	code := Code(f.StatusCode(status))
	if code == Cancelled && ctx.Err() != nil {
		return ended(ctx)
	}
	return &Error{Code: code, Name: f.StatusName(status), Message: f.StatusMessage(status)}
}
