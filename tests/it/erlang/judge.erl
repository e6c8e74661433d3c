%% Network elements on Erlang/OTP's diameter, which decodes what the gateway
%% sends by the dictionaries beside this file and says what is wrong with it.
%%
%%   erl -noshell -pa DIR -s judge main connect|listen PORT NODE...
%%
%% The nodes are hss and its twin hss2 (line provisioning), mme (S6a) and pgw
%% (Gy and Rf). They connect to the gateway on PORT, or listen on PORT, PORT + 1
%% and so on. Standard input has one order a line, standard output one verdict a
%% line, which starts with "judge:"; errors=[] is a message without fault.

-module(judge).

-export([main/1]).
-export([peer_up/3, peer_down/3, pick_peer/4, pick_peer/5, prepare_request/3,
         prepare_request/4, prepare_retransmit/3, prepare_retransmit/4,
         handle_answer/4, handle_answer/5, handle_error/4, handle_error/5,
         handle_request/3]).

-include_lib("diameter/include/diameter.hrl").

-define(REALM, "example.net").
-define(GATEWAY_REALM, "linegate.example").
-define(ANSWER_MS, 10000).

main([Mode, Port | Nodes]) ->
    ok = diameter:start(),
    lines = ets:new(lines, [named_table, public]),
    lists:foreach(fun(Node) -> start(Mode, list_to_integer(atom_to_list(Port)), Node) end,
                  lists:zip(Nodes, lists:seq(0, length(Nodes) - 1))),
    orders(Nodes).

start(Mode, Port, {Node, Offset}) ->
    ok = diameter:start_service(Node, capabilities(Node) ++ options() ++ applications(Node)),
    {ok, _} = diameter:add_transport(Node, transport(Mode, Port, Offset)).

transport(connect, Port, _) ->
    {connect, [{transport_module, diameter_tcp},
               {transport_config, [{raddr, {127, 0, 0, 1}}, {rport, Port}]},
               {connect_timer, 1000}, {watchdog_timer, 6000}]};
transport(listen, Port, Offset) ->
    {listen, [{transport_module, diameter_tcp},
              {transport_config, [{ip, {127, 0, 0, 1}}, {port, Port + Offset}, {reuseaddr, true}]},
              {watchdog_timer, 6000}]}.

options() ->
    [{decode_format, map}, {string_decode, false}, {strict_mbit, true},
     {strict_arities, true}, {restrict_connections, false}].

capabilities(Node) ->
    [{'Origin-Host', host(Node)},
     {'Origin-Realm', ?REALM},
     {'Vendor-Id', 0},
     {'Product-Name', "judge"},
     {'Supported-Vendor-Id', [10415, 32473]}
     | announced(Node)].

announced(Hss) when Hss == hss; Hss == hss2 ->
    [{'Vendor-Specific-Application-Id', [vendor_application(32473, 16777999)]}];
announced(mme) ->
    [{'Vendor-Specific-Application-Id', [vendor_application(10415, 16777251)]}];
announced(pgw) ->
    [{'Auth-Application-Id', [4]}, {'Acct-Application-Id', [3]}].

vendor_application(Vendor, Id) ->
    [{'Vendor-Id', Vendor}, {'Auth-Application-Id', [Id]}].

host(hss) -> "hss-1.linegate.example";
host(hss2) -> "hss-2.linegate.example";
host(mme) -> "mme-1.example.net";
host(pgw) -> "pgw-1.example.net".

applications(Node) ->
    [{application, [{alias, Dictionary}, {dictionary, Dictionary}, {module, ?MODULE},
                    {answer_errors, callback}, {request_errors, callback}]}
     || Dictionary <- [diameter_gen_base_rfc6733 | dictionaries(Node)]].

dictionaries(hss) -> [lp];
dictionaries(hss2) -> [lp];
dictionaries(mme) -> [s6a];
dictionaries(pgw) -> [gy, rf].

%% Orders

orders(Nodes) ->
    case io:get_line("") of
        eof ->
            lists:foreach(fun diameter:stop_service/1, Nodes),
            init:stop();
        Line ->
            carry_out(string:lexemes(Line, " \n")),
            orders(Nodes)
    end.

carry_out(["ccr", Type, Number, Session, Imsi, Used]) ->
    ask(pgw, gy, Session, ccr(list_to_integer(Type), list_to_integer(Number), Session, Imsi, list_to_integer(Used)));
carry_out(["event", Action, Session, Imsi, Units]) ->
    ask(pgw, gy, Session, event(list_to_integer(Action), Session, Imsi, list_to_integer(Units)));
carry_out(["acr", Type, Number, Session, Imsi]) ->
    ask(pgw, rf, Session, acr(list_to_integer(Type), list_to_integer(Number), Session, Imsi));
carry_out(["repeated", Number, Session, Imsi]) ->
    repeated(list_to_integer(Number), Session, Imsi);
carry_out(["ulr", Session, Imsi]) ->
    ask(mme, s6a, Session, mobile('ULR', Session, Imsi,
                                  #{'RAT-Type' => 1005, 'ULR-Flags' => 16#22,
                                    'Visited-PLMN-Id' => <<16#54, 16#f0, 16#80>>}));
carry_out(["pur", Session, Imsi]) ->
    ask(mme, s6a, Session, mobile('PUR', Session, Imsi, #{'PUR-Flags' => 1}));
carry_out(["nor", Session, Imsi]) ->
    ask(mme, s6a, Session, mobile('NOR', Session, Imsi, #{'NOR-Flags' => 1}));
carry_out(["air", Session, Imsi]) ->
    ask(mme, s6a, Session, mobile('AIR', Session, Imsi, #{'Visited-PLMN-Id' => <<16#54, 16#f0, 16#80>>}));
carry_out(["decode", Number, Hex]) ->
    decode(Number, binary:decode_hex(list_to_binary(Hex)));
carry_out(Words) ->
    say("no such order ~0p", [Words]).

ask(Node, Application, Session, Message) ->
    case diameter:call(Node, Application, Message, [{extra, [Session]}, {timeout, ?ANSWER_MS}]) of
        ok -> ok;
        {error, Why} -> say("error ~s ~0p", [Session, Why])
    end.

common(Session) ->
    #{'Session-Id' => Session,
      'Origin-Host' => host(pgw),
      'Origin-Realm' => ?REALM,
      'Destination-Realm' => ?GATEWAY_REALM}.

credit_control(Type, Number, Session, Imsi) ->
    (common(Session))#{'Auth-Application-Id' => 4,
                       'Service-Context-Id' => "32251@3gpp.org",
                       'CC-Request-Type' => Type,
                       'CC-Request-Number' => Number,
                       'Subscription-Id' => [subscription(Imsi)],
                       'Service-Information' =>
                           [#{'PS-Information' => [#{'Called-Station-Id' => ["iot.example"]}]}]}.

subscription(Imsi) ->
    #{'Subscription-Id-Type' => 1, 'Subscription-Id-Data' => Imsi}.

ccr(Type, Number, Session, Imsi, Used) ->
    Requested = case Type of
                    3 -> #{};
                    _ -> #{'Requested-Service-Unit' => [#{}]}
                end,
    Reported = case Type of
                   1 -> Requested;
                   _ -> Requested#{'Used-Service-Unit' => [#{'CC-Total-Octets' => [Used]}]}
               end,
    Groups = [Reported#{'Rating-Group' => [Group]} || Group <- [10, 20]],
    ['CCR' | (credit_control(Type, Number, Session, Imsi))#{'Multiple-Services-Indicator' => [1],
                                                            'Multiple-Services-Credit-Control' => Groups}].

event(Action, Session, Imsi, Units) ->
    ['CCR' | (credit_control(4, 0, Session, Imsi))#{'Requested-Action' => [Action],
                                                    'Requested-Service-Unit' => [#{'CC-Total-Octets' => [Units]}]}].

acr(Type, Number, Session, Imsi) ->
    Volume = #{'Accounting-Input-Octets' => [1000], 'Accounting-Output-Octets' => [2000]},
    Packet = #{'Called-Station-Id' => ["iot.example"], 'Traffic-Data-Volumes' => [Volume]},
    ['ACR' | (common(Session))#{'Accounting-Record-Type' => Type,
                                'Accounting-Record-Number' => Number,
                                'Acct-Application-Id' => [3],
                                'Service-Context-Id' => ["32251@3gpp.org"],
                                'Service-Information' => [#{'Subscription-Id' => [subscription(Imsi)],
                                                            'PS-Information' => [Packet]}]}].

mobile(Name, Session, Imsi, More) ->
    Common = (common(Session))#{'Origin-Host' => host(mme),
                                'Auth-Session-State' => 1,
                                'User-Name' => Imsi,
                                'Vendor-Specific-Application-Id' => [vendor_application(10415, 16777251)]},
    Optional = [Flag || Flag <- ['PUR-Flags', 'NOR-Flags'], maps:is_key(Flag, More)],
    Listed = lists:foldl(fun(Key, Map) -> maps:update_with(Key, fun(Value) -> [Value] end, Map) end, More, Optional),
    [Name | maps:merge(Common, Listed)].

%% The same request twice, the second time as a retransmission after a failover:
%% with the T flag and the same end-to-end id.
repeated(Number, Session, Imsi) ->
    Message = ccr(2, Number, Session, Imsi, 1000),
    EndToEnd = erlang:phash2({Session, Number}),
    Answers = [twin(Message, EndToEnd, Repeat) || Repeat <- [false, true]],
    Same = case Answers of
               [One, One] when is_binary(One) -> identical;
               Other -> Other
           end,
    say("repeated ~s ~0p", [Session, Same]).

twin(Message, EndToEnd, Repeat) ->
    Header = #diameter_header{end_to_end_id = EndToEnd, is_retransmitted = Repeat},
    Packet = #diameter_packet{header = Header, msg = Message},
    diameter:call(pgw, gy, Packet, [{extra, [twin]}, {timeout, ?ANSWER_MS}]).

%% Messages from elsewhere

decode(Number, Bin) ->
    Header = diameter_codec:decode_header(Bin),
    Options = #{decode_format => map, string_decode => false, strict_mbit => true,
                strict_arities => decode, rfc => 6733, app_dictionary => application(Header),
                failed_avp => false},
    Dictionary = case Header of
                     #diameter_header{is_error = true} -> diameter_gen_base_rfc6733;
                     _ -> application(Header)
                 end,
    #diameter_packet{msg = Message, errors = Errors}
        = diameter_codec:decode(Dictionary, Options, #diameter_packet{header = Header, bin = Bin}),
    say("decoded ~s ~0p errors=~0p", [Number, name(Message), brief(Errors)]).

application(#diameter_header{application_id = 0}) -> diameter_gen_base_rfc6733;
application(#diameter_header{application_id = 3}) -> rf;
application(#diameter_header{application_id = 4}) -> gy;
application(#diameter_header{application_id = 16777251}) -> s6a;
application(#diameter_header{application_id = 16777999}) -> lp.

%% Callbacks of diameter

peer_up(Node, _, State) ->
    say("open ~s", [Node]),
    State.

peer_down(Node, _, State) ->
    say("closed ~s", [Node]),
    State.

pick_peer([Peer | _], _, _, _) -> {ok, Peer};
pick_peer([], _, _, _) -> false.

pick_peer(Local, Remote, Node, State, _) -> pick_peer(Local, Remote, Node, State).

prepare_request(#diameter_packet{msg = Message} = Packet, _, _) ->
    {send, Packet#diameter_packet{msg = Message}}.

prepare_request(Packet, Node, Peer, _) -> prepare_request(Packet, Node, Peer).

prepare_retransmit(Packet, Node, Peer) -> prepare_request(Packet, Node, Peer).

prepare_retransmit(Packet, Node, Peer, _) -> prepare_request(Packet, Node, Peer).

handle_answer(Packet, Request, Node, Peer) -> handle_answer(Packet, Request, Node, Peer, "-").

handle_answer(#diameter_packet{errors = [], bin = <<Head:12/binary, _:4/binary, Rest/binary>>}, _, _, _, twin) ->
    <<Head/binary, Rest/binary>>;
handle_answer(#diameter_packet{errors = Errors}, _, _, _, twin) ->
    {error, brief(Errors)};
handle_answer(#diameter_packet{msg = [Name | Avps], errors = Errors}, _, _, _, Session) ->
    Got = case Avps of
              #{'Session-Id' := Id} -> text(Id);
              _ -> "none"
          end,
    say("answer ~s ~0p session=~s result=~0p errors=~0p~s",
        [Session, Name, Got, result(Avps), brief(Errors), details(Avps)]).

handle_error(Why, Request, Node, Peer) -> handle_error(Why, Request, Node, Peer, "-").

handle_error(Why, _, _, _, _) -> {error, Why}.

result(#{'Experimental-Result' := [#{'Experimental-Result-Code' := Code}]}) -> {experimental, Code};
result(#{'Result-Code' := [Code]}) -> Code;
result(#{'Result-Code' := Code}) -> Code.

details(#{'Multiple-Services-Credit-Control' := [_ | _] = Groups}) ->
    [io_lib:format(" group=~0p:~0p:~0p", [first('Rating-Group', G), first('Result-Code', G), granted(G)]) || G <- Groups];
details(#{'Subscription-Data' := [#{'Subscriber-Status' := [Status]}]}) ->
    io_lib:format(" status=~0p", [Status]);
details(#{'Granted-Service-Unit' := [#{'CC-Total-Octets' := [Octets]}]}) ->
    io_lib:format(" granted=~0p", [Octets]);
details(_) ->
    "".

first(Name, Group) ->
    case Group of
        #{Name := [Value | _]} -> Value;
        _ -> none
    end.

granted(#{'Granted-Service-Unit' := [#{'CC-Total-Octets' := [Octets]}]}) -> Octets;
granted(_) -> 0.

handle_request(#diameter_packet{msg = [Name | Avps], header = Header, errors = Errors}, Node, _) ->
    Repeated = case Header of
                   #diameter_header{is_retransmitted = true} -> " repeated";
                   _ -> ""
               end,
    say("request ~s ~0p session=~s~s errors=~0p~s",
        [Node, Name, text(maps:get('Session-Id', Avps)), Repeated, brief(Errors), asked(Avps)]),
    {reply, [answer_name(Name) | maps:merge(origin(Node, Avps), answer(Name, Avps))]};
handle_request(#diameter_packet{errors = Errors}, Node, _) ->
    say("request ~s unknown errors=~0p", [Node, brief(Errors)]),
    {answer_message, 3001}.

asked(#{'Action' := Action, 'Line-Id' := Line}) -> io_lib:format(" action=~0p line=~s", [Action, text(Line)]);
asked(#{'Line-Id' := Line}) -> io_lib:format(" line=~s", [text(Line)]);
asked(#{'User-Name' := [User]}) -> io_lib:format(" user=~s", [text(User)]);
asked(#{'User-Name' := User}) when is_binary(User) -> io_lib:format(" user=~s", [User]);
asked(_) -> "".

answer_name('Provision-Request') -> 'Provision-Answer';
answer_name('Query-Request') -> 'Query-Answer';
answer_name('RAR') -> 'RAA';
answer_name('ASR') -> 'ASA';
answer_name('CLR') -> 'CLA';
answer_name('IDR') -> 'IDA';
answer_name('DSR') -> 'DSA'.

origin(Node, #{'Session-Id' := Session}) ->
    #{'Session-Id' => Session, 'Origin-Host' => host(Node), 'Origin-Realm' => ?REALM}.

answer(Name, _) when Name == 'RAR'; Name == 'ASR' ->
    #{'Result-Code' => 2001};
answer(Name, _) when Name == 'CLR'; Name == 'IDR'; Name == 'DSR' ->
    #{'Result-Code' => [2001], 'Auth-Session-State' => 1,
      'Vendor-Specific-Application-Id' => [vendor_application(10415, 16777251)]};
answer('Provision-Request', #{'Order-Id' := Order, 'Line-Id' := Line, 'Action' := Action}) ->
    ets:insert(lines, {Line, state_after(Action), erlang:system_time(microsecond), Order}),
    line_answer((held(Line))#{'Order-Id' => [Order]});
answer('Query-Request', #{'Line-Id' := Line}) ->
    line_answer(held(Line)).

held(Line) ->
    Held = #{'Line-Id' => [Line], 'Line-State' => [0], 'Line-Version' => [0]},
    case ets:lookup(lines, Line) of
        [{_, State, Version, Order}] ->
            Held#{'Line-State' => [State], 'Line-Version' => [Version], 'Last-Order-Id' => [Order]};
        [] ->
            Held
    end.

line_answer(Avps) ->
    Avps#{'Result-Code' => [2001], 'Auth-Session-State' => 1,
          'Vendor-Specific-Application-Id' => vendor_application(32473, 16777999)}.

%% ACTIVATE, RESUME, MODIFY and RECONNECT of a line in service leave it there.
state_after(2) -> 2;
state_after(4) -> 3;
state_after(_) -> 1.

%% What diameter said of a message, without the records around it.
brief(Errors) ->
    [case Error of
         {Code, #diameter_avp{code = Avp, vendor_id = Vendor, name = Name}} -> {Code, Name, Avp, Vendor};
         Other -> Other
     end || Error <- Errors].

name([Name | _]) -> Name;
name(Other) -> Other.

text(Value) when is_binary(Value) -> Value;
text(Value) -> io_lib:format("~s", [Value]).

say(Format, Arguments) ->
    io:format("judge: " ++ Format ++ "~n", Arguments).
