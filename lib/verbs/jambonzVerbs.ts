// Generated from @jambonz/schema by `npm run types:verbs`: change test/helpers/verbTypes.ts instead.
// A test fails when the two differ.

/** A webhook or websocket callback that jambonz invokes when a verb completes. */
export type ActionHook = string | { url: string, method?: 'GET' | 'POST' | 'get' | 'post' | 'Get' | 'Post', basicAuth?: Auth, [property: string]: unknown }

/** Configuration for what to do when an actionHook (webhook) takes a long time to respond. */
export interface ActionHookDelayAction {
  /** Whether to enable delay handling for actionHooks. */
  enabled?: boolean
  /** Time in seconds to wait before executing the delay actions. */
  noResponseTimeout?: number
  /** Total time in seconds to wait for a webhook response before giving up and executing the giveUpActions. */
  noResponseGiveUpTimeout?: number
  /** Number of times to retry the delay actions while still waiting for the webhook response. */
  retries?: number
  /** An array of jambonz verbs to execute while waiting for the webhook response. */
  actions?: Array<Record<string, unknown>>
  /** An array of jambonz verbs to execute if the webhook never responds within the giveUpTimeout. */
  giveUpActions?: Array<Record<string, unknown>>
}

/** Configuration for answering machine detection (AMD). */
export interface Amd {
  /** Webhook to receive AMD events (amd_human_detected, amd_machine_detected, amd_no_speech_detected, amd_decision_timeout, amd_machine_stopped_speaking, amd_tone_detected, amd_error, amd_stopped). */
  actionHook: ActionHook
  /** Number of spoken words in a greeting that triggers an amd_machine_detected result. */
  thresholdWordCount?: number
  /** Number of digits in a greeting to trigger detection. */
  digitCount?: number
  /** Timer settings controlling AMD detection windows. */
  timers?: {
    /** Milliseconds to wait for any speech before returning amd_no_speech_detected. */
    noSpeechTimeoutMs?: number
    /** Milliseconds before returning amd_decision_timeout if no determination is made. */
    decisionTimeoutMs?: number
    /** Milliseconds to wait for beep/tone detection. */
    toneTimeoutMs?: number
    /** Milliseconds of silence after speech before determining the machine greeting is complete. */
    greetingCompletionTimeoutMs?: number
  }
  /** Override the STT recognizer used for AMD speech detection. */
  recognizer?: Recognizer
}

/** Basic authentication credentials, used for authenticating with external services such as websocket endpoints or SIP registrars. */
export interface Auth {
  /** The username for authentication. */
  username: string
  /** The password for authentication. */
  password: string
}

/** Configuration for playing background filler noise (e.g. keyboard typing, hold music) while the application is processing and the caller would otherwise hear silence. */
export interface FillerNoise {
  /** Whether to enable filler noise. */
  enable: boolean
  /** URL of the audio file to play as filler noise. */
  url?: string
  /** Number of seconds to wait before starting filler noise. */
  startDelaySecs?: number
}

/** Declarative transfer-to-human config for conversational verbs (agent and s2s); runtime injects a transfer-to-human tool and runs the packaged choreography when the model calls it. */
export interface Handoff extends TransferOptions {
  /** 'auto' = LLM writes the summary; 'none' = no spoken brief; {template} = guidance for the LLM's summary. */
  brief?: 'auto' | 'none' | { template: string }
  /** Optional voice/vendor for the spoken brief. */
  briefSynthesizer?: Synthesizer
  /** Override the injected tool name. */
  toolName?: string
  /** Override the injected tool description shown to the LLM. */
  toolDescription?: string
}

/** Enable the built-in hangup tool for conversational verbs (agent and s2s). */
export interface Hangup {
  /** Default reason placed in the X-Reason SIP header when the call is hung up. */
  reason?: string
}

/** Shared properties for llm, s2s, and vendor-specific s2s verb schemas. */
export interface LlmBase {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The LLM vendor to use. */
  vendor?: string
  /** The specific model to use from the vendor. */
  model?: string
  /** Authentication credentials for the LLM vendor API. */
  auth?: {
    /** The API key for the LLM vendor. */
    apiKey?: string
    [property: string]: unknown
  }
  /** Additional connection options for the LLM vendor, such as custom base URLs or API versions. */
  connectOptions?: Record<string, unknown>
  /** Configuration passed to the LLM including the system prompt, temperature, tools/functions, and other model parameters. */
  llmOptions?: Record<string, unknown>
  /** Model Context Protocol servers to connect to. */
  mcpServers?: Array<{ url: string, auth?: Record<string, unknown>, roots?: Array<Record<string, unknown>>, [property: string]: unknown }>
  /** A webhook invoked when the LLM conversation ends. */
  actionHook?: ActionHook
  /** A webhook invoked for real-time events during the LLM conversation (e.g. tool calls, transcription events). */
  eventHook?: ActionHook
  /** A webhook invoked when the LLM calls a tool/function. */
  toolHook?: ActionHook
  /** Declarative transfer-to-human config for s2s verbs. */
  handoff?: Handoff
  /** Enable the built-in hangup tool for s2s verbs. */
  hangup?: Hangup
  /** List of event types to receive via the eventHook. */
  events?: Array<string>
  /** Opt-in per-response stall watchdog (s2s vendors that support app-driven turn-taking, e.g. openai). */
  responseTimeoutMs?: number
  /** When a response stall is detected (see responseTimeoutMs), cancel the in-progress server-side response so the next turn does not collide with an active response. */
  cancelOnResponseTimeout?: boolean
  /** On caller barge-in, cancel the in-progress server-side response. */
  cancelOnBargeIn?: boolean
}

/** Configuration for speech-to-text recognition. */
export interface Recognizer {
  /** The STT vendor to use. */
  vendor: string
  /** An optional label identifying a specific credential set for this vendor. */
  label?: string
  /** The language code for speech recognition, in BCP-47 format. */
  language?: string
  /** A backup STT vendor to use if the primary vendor fails or is unavailable. */
  fallbackVendor?: string
  /** Credential label for the fallback vendor. */
  fallbackLabel?: string
  /** Language code to use with the fallback vendor. */
  fallbackLanguage?: string
  /** Voice activity detection settings for this recognizer. */
  vad?: Vad
  /** If true, automatically generate a prompt for the STT vendor based on context (e.g. TTS voice, language). */
  autogeneratePrompt?: boolean
  /** An array of words or phrases that the recognizer should favor. */
  hints?: Array<string | { phrase: string, boost?: number, [property: string]: unknown }>
  /** A boost factor for hint words. */
  hintsBoost?: number
  /** Additional languages the recognizer should listen for simultaneously. */
  altLanguages?: Array<string>
  /** If true, the vendor will attempt to filter profanity from transcription results. */
  profanityFilter?: boolean
  /** If true, return interim (partial) transcription results as they become available, before the utterance is complete. */
  interim?: boolean
  /** If true, recognition stops after the first complete utterance is detected. */
  singleUtterance?: boolean
  /** If true, send separate audio channels for each call leg (caller and callee) to the recognizer. */
  dualChannel?: boolean
  /** If true, perform independent recognition on each audio channel. */
  separateRecognitionPerChannel?: boolean
  /** If true, enable automatic punctuation in transcription results. */
  punctuation?: boolean
  /** If true, use an enhanced (premium) recognition model if available from the vendor. */
  enhancedModel?: boolean
  /** If true, include word-level timing information in transcription results. */
  words?: boolean
  /** If true, enable speaker diarization to identify different speakers in the audio. */
  diarization?: boolean
  /** Minimum number of speakers expected. */
  diarizationMinSpeakers?: number
  /** Maximum number of speakers expected. */
  diarizationMaxSpeakers?: number
  /** A hint to the recognizer about the type of interaction, which can improve accuracy. */
  interactionType?: 'unspecified' | 'discussion' | 'presentation' | 'phone_call' | 'voicemail' | 'voice_search' | 'voice_command' | 'dictation'
  /** North American Industry Classification System code. */
  naicsCode?: number
  /** If true, identify and label which channel each transcription segment came from. */
  identifyChannels?: boolean
  /** Name of a custom vocabulary resource configured at the vendor for improved recognition of specialized terms. */
  vocabularyName?: string
  /** Name of a vocabulary filter configured at the vendor for masking or removing specific words. */
  vocabularyFilterName?: string
  /** How filtered vocabulary words should be handled in the transcript. */
  filterMethod?: 'remove' | 'mask' | 'tag'
  /** The specific recognition model to use. */
  model?: string
  /** The level of detail in recognition results. */
  outputFormat?: 'simple' | 'detailed'
  /** How profanity should be handled in results. */
  profanityOption?: 'masked' | 'removed' | 'raw'
  /** If true, request signal-to-noise ratio information in results. */
  requestSnr?: boolean
  /** Time in milliseconds to wait for initial speech before timing out. */
  initialSpeechTimeoutMs?: number
  /** Custom Azure Speech Services endpoint URL. */
  azureServiceEndpoint?: string
  /** Azure custom speech endpoint ID for using a custom-trained model. */
  azureSttEndpointId?: string
  /** A DTMF digit that terminates speech recognition when pressed. */
  asrDtmfTerminationDigit?: string
  /** Maximum time in seconds to wait for a complete recognition result. */
  asrTimeout?: number
  /** Timeout in seconds for fast recognition mode. */
  fastRecognitionTimeout?: number
  /** Minimum confidence score (0-1) required to accept a recognition result. */
  minConfidence?: number
  deepgramOptions?: Record<string, unknown>
  googleOptions?: Record<string, unknown>
  awsOptions?: Record<string, unknown>
  azureOptions?: Record<string, unknown>
  ibmOptions?: Record<string, unknown>
  nvidiaOptions?: Record<string, unknown>
  sonioxOptions?: Record<string, unknown>
  xaiOptions?: Record<string, unknown>
  modulateOptions?: Record<string, unknown>
  assemblyAiOptions?: Record<string, unknown>
  speechmaticsOptions?: Record<string, unknown>
  openaiOptions?: Record<string, unknown>
  houndifyOptions?: Record<string, unknown>
  gladiaOptions?: Record<string, unknown>
  elevenlabsOptions?: Record<string, unknown>
  customOptions?: Record<string, unknown>
  nuanceOptions?: Record<string, unknown>
  cobaltOptions?: Record<string, unknown>
  verbioOptions?: Record<string, unknown>
}

/** Configuration for text-to-speech synthesis. */
export interface Synthesizer {
  /** The TTS vendor to use. */
  vendor: string
  /** An optional label identifying a specific credential set for this vendor. */
  label?: string
  /** The language code for speech synthesis, in BCP-47 format. */
  language?: string
  /** The voice to use for synthesis. */
  voice?: string | Record<string, unknown>
  /** A backup TTS vendor to use if the primary vendor fails or is unavailable. */
  fallbackVendor?: string
  /** Credential label for the fallback vendor. */
  fallbackLabel?: string
  /** Language code to use with the fallback vendor. */
  fallbackLanguage?: string
  /** Voice to use with the fallback vendor. */
  fallbackVoice?: string | Record<string, unknown>
  /** The synthesis engine tier to use. */
  engine?: 'standard' | 'neural' | 'generative' | 'long-form'
  /** Preferred voice gender. */
  gender?: 'MALE' | 'FEMALE' | 'NEUTRAL'
  /** Vendor-specific options passed through to the TTS provider. */
  options?: Record<string, unknown>
}

/** A call target for the 'dial' verb. */
export interface Target {
  /** The type of target to dial. */
  type: 'phone' | 'sip' | 'user' | 'teams'
  /** The phone number to dial. */
  number?: string
  /** The SIP URI to dial. */
  sipUri?: string
  /** The registered user name to dial. */
  name?: string
  /** The Microsoft Teams tenant ID. */
  tenant?: string
  /** The SIP trunk to use for the outbound call. */
  trunk?: string
  /** A webhook to invoke when the target answers, before connecting the call. */
  confirmHook?: string | ActionHook
  /** The HTTP method to use when invoking the confirmHook. */
  method?: 'GET' | 'POST'
  /** Custom SIP headers to include on the outbound INVITE. */
  headers?: Record<string, string | number>
  /** Override the From header on the outbound SIP INVITE. */
  from?: {
    /** The user part of the SIP From URI. */
    user?: string
    /** The host part of the SIP From URI. */
    host?: string
  }
  /** SIP authentication credentials for the outbound call, if the far end requires digest auth. */
  auth?: Auth
  /** If true, follow the call into voicemail if the target does not answer. */
  vmail?: boolean
  /** Override the Request-URI on the outbound SIP INVITE. */
  overrideTo?: string
  /** A SIP proxy to route the outbound call through, specified as a SIP URI. */
  proxy?: string
}

/** Shared configuration block for blind and warm transfer choreography, including destination targeting, caller handling, confirmation gates, and failure dispositions. */
export interface TransferOptions {
  /** Transfer mode: 'blind' hands off immediately without waiting for the destination to accept; 'warm' allows the agent to brief the destination before connecting the caller. */
  mode: 'blind' | 'warm'
  /** blind only: 'refer' sends a SIP REFER to the remote end; 'dial' places a bridged outbound call. */
  blindMethod?: 'refer' | 'dial'
  /** warm only: when true the caller is added to a three-way conference and can hear the brief; when false the caller is parked (on hold) and does not hear the conversation between agent and destination. */
  callerPresent?: boolean
  /** One or more call destinations. */
  target: Array<Target>
  /** Caller ID presented to the transfer destination. */
  callerId?: string
  /** warm/parked only: verbs to execute for the parked caller while the agent briefs the destination (e.g. play hold music). */
  onHoldHook?: ActionHook
  /** Seconds to wait for the destination to answer before applying the onNoAnswer disposition. */
  timeout?: number
  /** Optional human-side acceptance gate. */
  confirm?: {
    /** Text or URL of the prompt played to the destination. */
    prompt: string
    /** Single DTMF digit the destination must press to accept the transfer. */
    digit: string
  }
  /** warm only: optional answering-machine detection run on the destination leg. */
  amd?: Amd
  /** Per-outcome fallback actions when the transfer does not complete normally. */
  disposition?: {
    /** Action when the destination does not answer within timeout. */
    onNoAnswer?: 'return' | 'voicemail' | 'hangup'
    /** Action when the destination returns a busy signal. */
    onBusy?: 'return' | 'voicemail' | 'hangup'
    /** Action when the destination declines the transfer (confirm gate failed, AMD detected machine, or explicit rejection). */
    onDecline?: 'return' | 'voicemail' | 'hangup'
    /** Action when a protocol-level error occurs on the destination leg. */
    onFailure?: 'return' | 'voicemail' | 'hangup'
    /** SIP URI or HTTP URL to route the caller to voicemail. */
    voicemailUrl?: string
  }
  /** Fires when the transfer resolves — whether the call was bridged, returned to the caller, sent to voicemail, or failed. */
  actionHook?: ActionHook
  /** Optional hook for in-progress transfer events (e.g. destination ringing, brief started). */
  eventHook?: ActionHook
}

/** Voice Activity Detection configuration. */
export interface Vad {
  /** Whether to enable voice activity detection. */
  enable?: boolean
  /** Duration of voice activity (in milliseconds) required before speech is considered to have started. */
  voiceMs?: number
  /** Duration of silence (in milliseconds) required before speech is considered to have ended. */
  silenceMs?: number
  /** The VAD strategy to use. */
  strategy?: string
  /** WebRTC VAD aggressiveness mode (0-3). */
  mode?: number
  /** The VAD engine to use. */
  vendor?: 'webrtc' | 'silero'
  /** Speech detection confidence threshold for Silero VAD. */
  threshold?: number
  /** Padding in milliseconds added before and after detected speech segments. */
  speechPadMs?: number
}

/** Configures a complete voice AI agent by wiring together STT → LLM → TTS with integrated turn detection. */
export interface AgentProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** Speech-to-text configuration for the agent. */
  stt?: Recognizer
  /** Text-to-speech configuration for the agent. */
  tts?: Synthesizer
  /** When using Deepgram Flux Multilingual, automatically adjust STT language hints and switch TTS voice based on detected language. */
  autoLockLanguage?: boolean | 'always'
  /** Per-language overrides for TTS. */
  languageConfig?: Record<string, {
    /** TTS config override for this language. */
    tts?: Synthesizer
  }>
  /** Turn detection strategy. */
  turnDetection?: 'stt' | 'krisp' | { mode: 'krisp', threshold?: number, model?: string }
  /** Controls whether and how the user can interrupt the assistant while it is speaking. */
  bargeIn?: {
    /** Allow the user to interrupt the assistant while it is speaking. */
    enable?: boolean
    /** How interruptions are detected. */
    strategy?: 'vad' | 'interruptPrediction'
    /** Detection vendor for strategy 'interruptPrediction'; defaults to 'krisp' (currently the only option). */
    vendor?: string
    /** Probability threshold for interruptPrediction (0-1). */
    threshold?: number
    /** Seconds of detected speech required before confirming an interruption. */
    minSpeechDuration?: number
    /** If true, once the user interrupts the assistant does not resume speaking. */
    sticky?: boolean
    [property: string]: unknown
  }
  /** Seconds to wait after the assistant finishes speaking before prompting the user to respond. */
  noResponseTimeout?: number
  /** LLM configuration for the agent. */
  llm?: {
    /** LLM vendor id. */
    vendor?: string
    /** Vendor-specific model id (e.g. 'gpt-4o', 'claude-sonnet-4-5-20250929'). */
    model?: string
    /** Optional label to disambiguate when the account has multiple credentials for the same vendor. */
    label?: string
    /** Optional inline credentials. */
    auth?: {
      apiKey?: string
      [property: string]: unknown
    }
    /** SDK-level client options. */
    connectOptions?: {
      timeout?: number
      maxRetries?: number
      endpoint?: string
      baseURL?: string
    }
    /** Per-call LLM configuration. */
    llmOptions?: {
      /** System prompt for the model. */
      systemPrompt?: string
      /** Seed conversation history. */
      messages?: Array<{ role: 'system' | 'user' | 'assistant' | 'tool', content: unknown, [property: string]: unknown }>
      /** Alias of 'messages' (historical). */
      initialMessages?: Array<{ role: 'system' | 'user' | 'assistant' | 'tool', content: unknown, [property: string]: unknown }>
      /** Maximum tokens the model may generate per turn. */
      maxTokens?: number
      /** Sampling temperature. */
      temperature?: number
      /** Vendor-neutral thinking/reasoning effort. */
      reasoningEffort?: 'minimal' | 'low' | 'medium' | 'high'
      /** Tool / function definitions available to the model. */
      tools?: Array<Record<string, unknown>>
    }
  }
  /** A webhook invoked when the agent ends. */
  actionHook?: ActionHook
  /** A webhook invoked for agent events. */
  eventHook?: ActionHook
  /** A webhook invoked when the LLM requests a tool/function call. */
  toolHook?: ActionHook
  /** Whether the LLM should generate an initial greeting before the user speaks. */
  greeting?: boolean
  /** Enable speculative LLM prompting before end-of-turn is confirmed. */
  earlyGeneration?: boolean
  /** Enable server-side noise isolation to reduce background noise on call audio. */
  noiseIsolation?: 'krisp' | 'rnnoise' | { mode: string, level?: number, direction?: 'read' | 'write', model?: string }
  /** External MCP servers that provide tools to the LLM. */
  mcpServers?: Array<{ url: string, auth?: Record<string, unknown>, roots?: Array<Record<string, unknown>>, [property: string]: unknown }>
  /** Declarative transfer-to-human config. */
  handoff?: Handoff
  /** Enable the built-in hangup tool. */
  hangup?: Hangup
  /** Configuration for playing filler audio while tool calls are in progress. */
  toolFiller?: false | { type: 'audio' | 'backchannel', startDelaySecs?: number, url?: string, style?: string, escalationSecs?: number, [property: string]: unknown }
}

/** Sends a 180 Ringing provisional response with an Alert-Info header. */
export interface AlertProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The value to include in the Alert-Info header. */
  message: string
}

/** Answers an incoming call (sends a 200 OK to the SIP INVITE). */
export interface AnswerProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
}

/** Places the caller into a multi-party conference room. */
export interface ConferenceProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The name of the conference room. */
  name: string
  /** If true, play a beep when participants join or leave. */
  beep?: boolean
  /** A tag to identify this participant. */
  memberTag?: string
  /** If set, this participant's audio is only heard by the member with the specified memberTag. */
  speakOnlyTo?: string
  /** If true (default), the conference starts when this participant joins. */
  startConferenceOnEnter?: boolean
  /** If true, the conference ends for all participants when this participant leaves. */
  endConferenceOnExit?: boolean
  /** Maximum duration of the conference in seconds. */
  endConferenceDuration?: number
  /** Maximum number of participants allowed in the conference. */
  maxParticipants?: number
  /** If true, this participant joins the conference muted. */
  joinMuted?: boolean
  /** A webhook invoked when this participant leaves the conference. */
  actionHook?: ActionHook
  /** A webhook invoked while this participant is waiting for the conference to start. */
  waitHook?: ActionHook
  /** List of conference events to receive via the statusHook. */
  statusEvents?: Array<string>
  /** A webhook to receive conference status events (joins, leaves, etc.). */
  statusHook?: ActionHook
  /** A webhook invoked when this participant first enters the conference. */
  enterHook?: ActionHook
  /** Recording configuration for the conference. */
  record?: Record<string, unknown>
  /** Audio streaming configuration for the conference. */
  listen?: Record<string, unknown>
  /** Fork the room's mixed audio to a WebSocket (preferred synonym for `listen`). */
  stream?: Record<string, unknown>
  /** If true, DTMF events from this participant are distributed to all other participants. */
  distributeDtmf?: boolean
}

/** Sets session-level defaults for the call. */
export interface ConfigProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** Default TTS configuration for the session. */
  synthesizer?: Synthesizer
  /** Default STT configuration for the session. */
  recognizer?: Recognizer
  /** Default barge-in configuration. */
  bargeIn?: {
    enable: boolean
    /** If true, barge-in settings persist across verbs rather than resetting after each verb. */
    sticky?: boolean
    actionHook?: ActionHook
    input?: Array<'speech' | 'digits'>
    minBargeinWordCount?: number
    partialResultHook?: ActionHook
    finishOnKey?: string
    numDigits?: number
    minDigits?: number
    maxDigits?: number
    interDigitTimeout?: number
    dtmfBargein?: boolean
  }
  /** Default TTS streaming configuration for the session. */
  ttsStream?: {
    enable: boolean
    synthesizer?: Synthesizer
    [property: string]: unknown
  }
  /** Session-level call recording configuration. */
  record?: Record<string, unknown>
  /** Session-level audio streaming configuration defaults. */
  listen?: Record<string, unknown>
  /** Session-level audio streaming configuration defaults. */
  stream?: Record<string, unknown>
  transcribe?: TranscribeProperties
  /** Session-level answering machine detection configuration. */
  amd?: Amd
  /** Default filler noise configuration for the session. */
  fillerNoise?: FillerNoise
  /** Default voice activity detection configuration for the session. */
  vad?: Vad
  /** If true, send call events (e.g. DTMF, call status changes) to the application via the status webhook. */
  notifyEvents?: boolean
  /** If true, include STT latency measurements in webhook payloads. */
  notifySttLatency?: boolean
  /** Reset specific session-level settings to their defaults. */
  reset?: string | Array<string>
  /** URL of an audio file to play when the call is placed on hold. */
  onHoldMusic?: string
  /** Default configuration for handling slow webhook responses. */
  actionHookDelayAction?: ActionHookDelayAction
  /** A webhook to invoke when a SIP request (e.g. INFO, NOTIFY) is received within the dialog. */
  sipRequestWithinDialogHook?: ActionHook
  /** Boost (or attenuate) the audio signal in dB for the session. */
  boostAudioSignal?: number | string
  /** A webhook to invoke when a SIP REFER request is received. */
  referHook?: ActionHook
  /** If true, allow early media (audio before call answer) for the session. */
  earlyMedia?: boolean
  /** If true, automatically use streaming TTS for all 'say' verbs in the session. */
  autoStreamTts?: boolean
  /** If true, disable TTS caching for the session. */
  disableTtsCache?: boolean
  /** If true, report the actual text spoken via TTS. */
  trackTtsPlayout?: boolean
  /** Noise isolation configuration to reduce background noise on call audio. */
  noiseIsolation?: {
    enable?: boolean
    vendor?: string
    level?: number
    model?: string
    [property: string]: unknown
  }
  /** Turn-taking detection configuration for conversational AI applications. */
  turnTaking?: {
    enable?: boolean
    vendor?: string
    threshold?: number
    model?: string
    [property: string]: unknown
  }
}

/** Shortcut for 'llm' with vendor automatically set to 'deepgram'. */
export interface DeepgramS2sProperties extends LlmBase {
  /** The LLM vendor (always 'deepgram' for this shortcut). */
  vendor?: 'deepgram'
  /** IMPORTANT: Deepgram does NOT use a 'messages' array. */
  llmOptions: Record<string, unknown>
}

/** Removes a caller from a named queue and bridges them to the current call. */
export interface DequeueProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The name of the queue to dequeue from. */
  name: string
  /** A webhook invoked when the dequeued call ends. */
  actionHook?: ActionHook
  /** Time in seconds to wait for a caller to be available in the queue. */
  timeout?: number
  /** If true, play a beep when the calls are connected. */
  beep?: boolean
  /** Dequeue a specific call by its call SID, rather than the next caller in line. */
  callSid?: string
}

/** Initiates an outbound call to one or more targets and bridges the caller to the first target that answers. */
export interface DialProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** One or more call targets to dial. */
  target: Array<Target>
  /** A webhook invoked when the dialed call ends. */
  actionHook?: ActionHook
  /** A webhook invoked when the call is placed on hold. */
  onHoldHook?: ActionHook
  /** If true, delay answering the inbound call until the outbound leg is answered. */
  answerOnBridge?: boolean
  /** The caller ID (phone number) to present on the outbound call. */
  callerId?: string
  /** The caller display name to present on the outbound call. */
  callerName?: string
  /** A webhook invoked when a target answers, before the call is bridged. */
  confirmHook?: ActionHook
  /** A webhook invoked when a SIP REFER is received on the bridged call. */
  referHook?: ActionHook
  /** URL of an audio file to play to the caller while the outbound call is ringing. */
  dialMusic?: string
  /** Configuration for capturing DTMF digits during the bridged call. */
  dtmfCapture?: Array<string> | Record<string, unknown>
  /** A webhook invoked when a captured DTMF pattern is detected during the bridged call. */
  dtmfHook?: ActionHook
  /** Custom SIP headers to include on the outbound INVITE. */
  headers?: Record<string, string | number>
  /** If true, keep media anchored through the jambonz media server even if a direct media path is possible. */
  anchorMedia?: boolean
  /** Codec names, in preference order, to offer on the outbound INVITE (e.g. ["G722", "PCMU"]). */
  codecs?: Array<string>
  /** If true, remove jambonz from the media path after the call is bridged. */
  exitMediaPath?: boolean
  /** Boost (or attenuate) the audio signal in dB. */
  boostAudioSignal?: number | string
  /** Nested listen configuration for streaming audio of the bridged call. */
  listen?: Record<string, unknown>
  /** Nested stream configuration for streaming audio of the bridged call. */
  stream?: Record<string, unknown>
  transcribe?: TranscribeProperties
  /** Maximum duration in seconds for the bridged call. */
  timeLimit?: number
  /** Time in seconds to wait for the target to answer before giving up. */
  timeout?: number
  /** A SIP proxy to route the outbound call through. */
  proxy?: string
  /** Answering machine detection configuration. */
  amd?: Amd
  /** Nested dub verbs — audio dubbing configuration for mixing additional audio tracks into the bridged call. */
  dub?: Array<DubProperties>
  /** Arbitrary metadata to attach to this call leg. */
  tag?: Record<string, unknown>
  /** If true, forward the P-Asserted-Identity header from the inbound call to the outbound call. */
  forwardPAI?: boolean
  /** Request SRTP (encrypted media) on the outbound call. */
  srtpEncryption?: 'sdes' | 'dtls'
}

/** Connects the caller to a Google Dialogflow agent for a voice conversation. */
export interface DialogflowProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** Google service account credentials as a JSON object or stringified JSON. */
  credentials: Record<string, unknown> | string
  /** The Google Cloud project ID. */
  project: string
  /** The Dialogflow agent ID for CX, or the app ID for CES. */
  agent?: string
  /** The Dialogflow environment to use (CX). */
  environment?: string
  /** The deployment to use (CES). */
  deployment?: string
  /** The Google Cloud region for the Dialogflow API endpoint. */
  region?: string
  /** The Dialogflow model type: 'es' for Dialogflow ES, 'cx' for Dialogflow CX, 'ces' for Dialogflow CES. */
  model?: 'es' | 'cx' | 'ces'
  /** The language code for the conversation (e.g. 'en-US'). */
  lang: string
  /** Names the conversation on the Dialogflow side. */
  sessionId?: string
  /** A webhook invoked when the Dialogflow session ends. */
  actionHook?: ActionHook
  /** A webhook invoked for Dialogflow events during the conversation. */
  eventHook?: ActionHook
  /** A webhook invoked when the agent requests a client-side tool call (CX and CES). */
  toolHook?: ActionHook
  /** List of event types to receive via the eventHook. */
  events?: Array<string>
  /** A Dialogflow event to trigger at the start of the conversation (e.g. 'welcome'). */
  welcomeEvent?: string
  /** Parameters to pass with the welcome event. */
  welcomeEventParams?: Record<string, unknown>
  /** Seconds to wait for caller input before triggering the no-input event. */
  noInputTimeout?: number
  /** Dialogflow event to trigger when no input is received within the timeout. */
  noInputEvent?: string
  /** If true, pass DTMF digits to Dialogflow as text input. */
  passDtmfAsTextInput?: boolean
  /** URL of an audio file to play while waiting for Dialogflow to respond. */
  thinkingMusic?: string
  /** TTS configuration for Dialogflow responses. */
  tts?: Synthesizer
  /** If true, allow the caller to interrupt Dialogflow responses with speech. */
  bargein?: boolean
  /** Initial query input to send to Dialogflow. */
  queryInput?: {
    /** Text input. */
    text?: string
    /** Intent to trigger. */
    intent?: string
    /** Event to trigger. */
    event?: string
    /** DTMF input. */
    dtmf?: string
  }
}

/** Sends DTMF tones on the call. */
export interface DtmfProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The DTMF digits to send. */
  dtmf: string
  /** Duration in milliseconds for each DTMF tone. */
  duration?: number
}

/** Manages audio dubbing tracks on a call. */
export interface DubProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The dubbing action to perform. */
  action: 'addTrack' | 'removeTrack' | 'silenceTrack' | 'playOnTrack' | 'sayOnTrack'
  /** The name of the audio track. */
  track: string
  /** URL of an audio file to play on the track. */
  play?: string
  /** Text to synthesize and play on the track. */
  say?: string | Record<string, unknown>
  /** If true, loop the audio on the track continuously. */
  loop?: boolean
  /** Audio gain for the track in dB. */
  gain?: number | string
}

/** Shortcut for 'llm' with vendor automatically set to 'elevenlabs'. */
export interface ElevenlabsS2sProperties extends LlmBase {
  /** The LLM vendor (always 'elevenlabs' for this shortcut). */
  vendor?: 'elevenlabs'
  /** Authentication credentials for ElevenLabs. */
  auth: {
    /** The ElevenLabs Conversational AI agent ID. */
    agent_id: string
    /** The ElevenLabs API key. */
    api_key?: string
    [property: string]: unknown
  }
  /** Options for the ElevenLabs conversation session. */
  llmOptions?: {
    /** Optional data sent to the agent when the conversation starts. */
    conversation_initiation_client_data?: Record<string, unknown>
    /** Audio input sample rate in Hz. */
    input_sample_rate?: number
    /** Audio output sample rate in Hz. */
    output_sample_rate?: number
    [property: string]: unknown
  }
}

/** Places the caller into a named call queue. */
export interface EnqueueProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The name of the queue to place the caller in. */
  name: string
  /** A webhook invoked when the caller leaves the queue (either dequeued or hung up). */
  actionHook?: ActionHook
  /** A webhook invoked immediately when the caller enters the queue and periodically while waiting. */
  waitHook?: ActionHook
  /** The priority of this caller in the queue. */
  priority?: number
  _?: Record<string, unknown>
}

/** Collects user input via speech (STT) and/or DTMF digits. */
export interface GatherProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** Invoked when the gather completes. */
  actionHook?: ActionHook
  /** The types of input to accept. */
  input?: Array<'speech' | 'digits'>
  /** A DTMF key that signals the end of digit input. */
  finishOnKey?: string
  /** Exact number of DTMF digits to collect. */
  numDigits?: number
  /** Minimum number of DTMF digits required. */
  minDigits?: number
  /** Maximum number of DTMF digits to collect. */
  maxDigits?: number
  /** Time in seconds to wait between DTMF digits before considering input complete. */
  interDigitTimeout?: number
  /** Time in seconds of silence after speech before considering the utterance complete. */
  speechTimeout?: number
  /** Overall timeout in seconds. */
  timeout?: number
  /** A webhook to invoke with interim (partial) speech recognition results. */
  partialResultHook?: ActionHook
  /** If true, listen for input while the prompt is playing. */
  listenDuringPrompt?: boolean
  /** If true, DTMF input interrupts (barges in on) any playing prompt. */
  dtmfBargein?: boolean
  /** If true, speech input interrupts (barges in on) any playing prompt. */
  bargein?: boolean
  /** Minimum number of words that must be recognized before barge-in is triggered. */
  minBargeinWordCount?: number
  /** Override the session-level STT configuration for this gather. */
  recognizer?: Recognizer
  say?: SayProperties
  play?: PlayProperties
  /** Filler noise configuration while waiting for the actionHook to respond. */
  fillerNoise?: FillerNoise
  /** Configuration for interim actions while the actionHook is processing. */
  actionHookDelayAction?: ActionHookDelayAction
}

/** Shortcut for 'llm' with vendor automatically set to 'google'. */
export interface GoogleS2sProperties extends LlmBase {
  /** The LLM vendor (always 'google' for this shortcut). */
  vendor?: 'google'
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

/** Shortcut for 'llm' with vendor automatically set to 'gptlive'. */
export interface GptliveS2sProperties extends LlmBase {
  /** The LLM vendor (always 'gptlive' for this shortcut). */
  vendor?: 'gptlive'
  /** OpenAI credentials. */
  auth: {
    /** The OpenAI API key. */
    apiKey: string
    [property: string]: unknown
  }
  llmOptions: {
    /** Startup configuration, sent as the first session.update client event. */
    session_update: {
      /** Not allowed: the model travels in the connection URL. */
      model?: unknown
      /** How the model delegates work it cannot do itself. */
      delegation?: {
        /** 'client' asks the application for free-form text context; 'responses' runs a Responses API turn that can make function calls. */
        type?: 'client' | 'responses'
        /** Configuration for a Responses-targeted delegation. */
        responses?: {
          /** The Responses-side model the delegated turns run on (e.g. gpt-5.5). */
          model: string
          /** Function tools in the flat Responses shape: {type:'function', name, description, parameters}. */
          tools?: Array<Record<string, unknown>>
          instructions?: string
          [property: string]: unknown
        }
        /** Not allowed here: a Responses delegation's tools belong at delegation.responses.tools. */
        tools?: unknown
        [property: string]: unknown
      }
      [property: string]: unknown
    }
    [property: string]: unknown
  }
}

/** Terminates the call. */
export interface HangupProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** Custom SIP headers to include on the BYE request. */
  headers?: Record<string, string | number>
}

/** Removes the caller from a conference or queue that they are currently in. */
export interface LeaveProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
}

/** Connects the caller to a large language model for a real-time voice conversation. */
export interface LlmProperties extends LlmBase {
  vendor: NonNullable<LlmBase['vendor']>
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

/** Sends an SMS or MMS message. */
export interface MessageProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The destination phone number in E.164 format. */
  to: string
  /** The sender phone number in E.164 format. */
  from: string
  /** The text content of the message. */
  text?: string
  /** URL(s) of media to attach to the message (MMS). */
  media?: string | Array<string>
  /** The messaging carrier to use. */
  carrier?: string
  /** The account SID to use for sending. */
  account_sid?: string
  /** An optional message SID for tracking. */
  message_sid?: string
  /** A webhook invoked when the message send completes or fails. */
  actionHook?: ActionHook
}

/** Shortcut for 'llm' with vendor automatically set to 'openai'. */
export interface OpenaiS2sProperties extends LlmBase {
  /** The LLM vendor (always 'openai' for this shortcut). */
  vendor?: 'openai'
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

/** Pauses execution for a specified number of seconds. */
export interface PauseProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The duration of the pause in seconds. */
  length: number
}

/** Plays an audio file to the caller. */
export interface PlayProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The URL(s) of the audio file(s) to play. */
  url: string | Array<string>
  /** Number of times to repeat playback. */
  loop?: number | string
  /** If true, play the audio as early media before the call is answered. */
  earlyMedia?: boolean
  /** Start playback at this offset in seconds from the beginning of the file. */
  seekOffset?: number | string
  /** Maximum time in seconds to play the audio. */
  timeoutSecs?: number | string
  /** A webhook to invoke when playback completes. */
  actionHook?: ActionHook
}

/** Shortcut for 'llm' with vendor automatically set to 'qwen'. */
export interface QwenS2sProperties extends LlmBase {
  /** The LLM vendor (always 'qwen' for this shortcut). */
  vendor?: 'qwen'
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

/** Transfers call control to a different webhook URL. */
export interface RedirectProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The webhook to transfer control to. */
  actionHook: ActionHook
  /** A webhook to receive call status events after the redirect. */
  statusHook?: ActionHook
}

/** Internal verb used to originate an outbound call via the REST API. */
export interface RestDialProperties {
  id?: string
  account_sid?: string
  application_sid?: string
  /** Webhook URL or object for call control. */
  call_hook: string | Record<string, unknown>
  /** Webhook URL or object for call status notifications. */
  call_status_hook?: string | Record<string, unknown>
  /** The caller ID for the outbound call. */
  from: string
  /** Display name for the caller. */
  callerName?: string
  /** SIP host to use in the From header. */
  fromHost?: string
  speech_synthesis_vendor?: string
  speech_synthesis_voice?: string
  speech_synthesis_language?: string
  speech_recognizer_vendor?: string
  speech_recognizer_language?: string
  /** Arbitrary metadata to attach to the call. */
  tag?: Record<string, unknown>
  /** The call destination. */
  to: Target
  /** Custom SIP headers to include on the outbound INVITE. */
  headers?: Record<string, string | number>
  /** Ring timeout in seconds. */
  timeout?: number
  /** Answering machine detection configuration. */
  amd?: Amd
  /** If true, send separate audio streams for each call leg. */
  dual_streams?: boolean
  /** Webhook for in-dialog SIP requests. */
  sipRequestWithinDialogHook?: string
  /** Webhook for SIP REFER handling. */
  referHook?: string | Record<string, unknown>
  /** Maximum call duration in seconds. */
  timeLimit?: number
}

/** Places the caller into a multi-party room. */
export type RoomProperties = ConferenceProperties

/** Synonym for 'llm'. */
export interface S2sProperties extends LlmBase {
  vendor: NonNullable<LlmBase['vendor']>
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

/** Speaks text to the caller using text-to-speech. */
export interface SayProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The text to speak. */
  text?: string | Array<string>
  /** Natural language instructions to guide TTS expression and delivery. */
  instructions?: string
  /** If true, stream TTS audio to the caller incrementally as it is generated, rather than waiting for the complete audio. */
  stream?: boolean
  /** Number of times to repeat the speech. */
  loop?: number | string
  /** Override the session-level TTS configuration for this specific utterance. */
  synthesizer?: Synthesizer
  /** If true, play the audio as early media (before the call is answered). */
  earlyMedia?: boolean
  /** If true, bypass the TTS cache and always generate fresh audio. */
  disableTtsCache?: boolean
  /** If true, close the TTS stream when an empty text string is received. */
  closeStreamOnEmpty?: boolean
}

/** Rejects an incoming call with a SIP error response. */
export interface SipDeclineProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The SIP response status code to send. */
  status: number
  /** The SIP reason phrase to include in the response. */
  reason?: string
  /** Custom SIP headers to include in the response. */
  headers?: Record<string, string | number>
}

/** Sends a SIP REFER request to transfer the call to another party. */
export interface SipReferProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The SIP URI or phone number to transfer the call to. */
  referTo: string
  /** The SIP URI to use in the Referred-By header. */
  referredBy?: string
  /** The display name to use in the Referred-By header. */
  referredByDisplayName?: string
  /** Custom SIP headers to include in the REFER request. */
  headers?: Record<string, string | number>
  /** A webhook invoked when the REFER completes (or fails). */
  actionHook?: ActionHook
  /** A webhook invoked for NOTIFY events during the REFER process, providing transfer progress updates. */
  eventHook?: ActionHook
}

/** Sends a SIP request within the current dialog. */
export interface SipRequestProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** The SIP method to send. */
  method: string
  /** The body of the SIP request. */
  body?: string
  /** Custom SIP headers to include in the request. */
  headers?: Record<string, string | number>
  /** A webhook invoked when the response to the SIP request is received. */
  actionHook?: ActionHook
}

/** Attaches arbitrary metadata to the current call. */
export interface TagProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** An object containing the metadata to attach to the call. */
  data: Record<string, unknown>
}

/** Enables real-time transcription of the call audio. */
export interface TranscribeProperties {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** Enable or disable transcription. */
  enable?: boolean
  /** The webhook URL to receive transcription results. */
  transcriptionHook?: string
  /** The webhook URL to receive translated transcription results. */
  translationHook?: string
  /** STT configuration for the transcription. */
  recognizer?: Recognizer
  /** If true, begin transcribing before the call is answered. */
  earlyMedia?: boolean
  /** Specific audio channel to transcribe. */
  channel?: 1 | 2
}

/** Packages blind and warm parked/three-way transfer with built-in failure handling. */
export interface TransferProperties extends TransferOptions {
  /** An optional unique identifier for this verb instance. */
  id?: string
  /** warm only. */
  brief?: {
    /** The spoken briefing text. */
    text: string
    /** Optional voice/vendor for the brief. */
    synthesizer?: Synthesizer
  }
}

/** Shortcut for 'llm' with vendor automatically set to 'ultravox'. */
export interface UltravoxS2sProperties extends LlmBase {
  /** The LLM vendor (always 'ultravox' for this shortcut). */
  vendor?: 'ultravox'
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

export type LexProperties = Record<string, unknown>

export type RasaProperties = Record<string, unknown>

export interface MicrosoftS2sProperties extends LlmBase {
  vendor?: 'microsoft'
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

export interface VoiceagentS2sProperties extends LlmBase {
  vendor?: 'voiceagent'
  llmOptions: NonNullable<LlmBase['llmOptions']>
}

/** The properties of each verb, by its name. */
export interface JambonzVerbs {
  agent: AgentProperties
  alert: AlertProperties
  answer: AnswerProperties
  conference: ConferenceProperties
  config: ConfigProperties
  deepgram_s2s: DeepgramS2sProperties
  dequeue: DequeueProperties
  dial: DialProperties
  dialogflow: DialogflowProperties
  dtmf: DtmfProperties
  dub: DubProperties
  elevenlabs_s2s: ElevenlabsS2sProperties
  enqueue: EnqueueProperties
  gather: GatherProperties
  google_s2s: GoogleS2sProperties
  gptlive_s2s: GptliveS2sProperties
  hangup: HangupProperties
  leave: LeaveProperties
  llm: LlmProperties
  message: MessageProperties
  openai_s2s: OpenaiS2sProperties
  pause: PauseProperties
  play: PlayProperties
  qwen_s2s: QwenS2sProperties
  redirect: RedirectProperties
  'rest:dial': RestDialProperties
  room: RoomProperties
  s2s: S2sProperties
  say: SayProperties
  'sip:decline': SipDeclineProperties
  'sip:refer': SipReferProperties
  'sip:request': SipRequestProperties
  tag: TagProperties
  transcribe: TranscribeProperties
  transfer: TransferProperties
  ultravox_s2s: UltravoxS2sProperties
  lex: LexProperties
  rasa: RasaProperties
  microsoft_s2s: MicrosoftS2sProperties
  voiceagent_s2s: VoiceagentS2sProperties
}
