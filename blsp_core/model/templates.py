"""Chat templates of LLM families: one way to turn a chat into text, for the teacher, the student and inference."""

from jinja2 import TemplateError

from blsp_core.errors import StudyError


def render(tokenizer, chat: list[dict], **template) -> str:
    """A chat, whose contents are strings, as text; `template`: as in `apply_chat_template`.

    Reasoning is switched off (Qwen3). Where the chat template rejects or ignores the system prompt (Gemma), it stands
    before the user's first turn. Raises StudyError without a template, or where it rejects both.
    """
    if not (template.get("chat_template") or tokenizer.chat_template):
        raise StudyError(f"{tokenizer.name_or_path}: the tokenizer has no chat template; use a chat LLM")
    forms = [chat]
    if len(chat) > 1 and chat[0]["role"] == "system":
        system, user, *others = chat
        forms.append([{**user, "content": f"{system['content']}\n\n{user['content']}"}, *others])
    for form in forms:
        try:
            text = tokenizer.apply_chat_template(form, **{"enable_thinking": False, **template, "tokenize": False})
        except TemplateError as error:
            reason = error
        else:
            if form is forms[-1] or chat[0]["content"].strip() in text:
                return text
    raise StudyError(f"{tokenizer.name_or_path}: the chat template fails ({reason}); use another LLM")


def turn_end(tokenizer) -> int:
    """The token that ends the assistant's turn in the chat template, which targets teach: of Gemma `<end_of_turn>`, of
    Phi `<|end|>`, where the tokenizer's `eos_token` is another. `eos_token` where the template has none."""
    mark = "blsp"
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": mark}]
    after = render(tokenizer, turns).rpartition(mark)[2]
    special = {token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    found = [name for name in special if after.lstrip().startswith(name)]
    return special[max(found, key=len)] if found else tokenizer.eos_token_id
