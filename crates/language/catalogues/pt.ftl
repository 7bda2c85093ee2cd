# Português do Brasil, e de quem não tem um catálogo mais próximo.
offer-valid-until = Oferta válida até { $date }.
email-reason = { $brand } envia este e-mail porque você é cliente e aceitou receber ofertas.
email-security = { $brand } nunca pede sua senha nem seu PIN por e-mail.
email-unsubscribe = Não receber mais ofertas por e-mail

sms-opt-out = Responda STOP para cancelar

page-subscribed-title = { $channel ->
    [sms] Não quer mais ofertas por SMS?
   *[email] Não quer mais ofertas por e-mail?
}
page-subscribed-text = { $channel ->
    [sms] Pressione o botão para não receber mais ofertas de { $brand } por SMS. Nada mais muda.
   *[email] Pressione o botão para não receber mais ofertas de { $brand } por e-mail. Nada mais muda.
}
page-unsubscribe-button = Cancelar inscrição
page-opted-out-title = Sua inscrição foi cancelada
page-opted-out-text = { $channel ->
    [sms] { $brand } não enviará mais ofertas por SMS. Uma oferta que já está a caminho ainda pode chegar.
   *[email] { $brand } não enviará mais ofertas por e-mail. Uma oferta que já está a caminho ainda pode chegar.
}
page-subscribe-button = Voltar a receber ofertas
page-form-expired-title = Pressione o botão mais uma vez
page-form-expired-text = { $minutes ->
    [one] Esta página ficou aberta por mais de { $minutes } minuto.
    [many] Esta página ficou aberta por mais de { $minutes } minutos.
   *[other] Esta página ficou aberta por mais de { $minutes } minutos.
} Quer voltar a receber ofertas de { $brand }?
page-subscribed-again-title = Que bom ter você de volta
page-subscribed-again-text = { $channel ->
    [sms] Você voltará a receber ofertas de { $brand } por SMS.
   *[email] Você voltará a receber ofertas de { $brand } por e-mail.
}
page-not-found-title = Este link não funciona
page-not-found-text = Abra de novo o link no fim da mensagem e confira se ele está completo.
page-unavailable-title = Tente de novo daqui a pouco
page-unavailable-text = Desculpe, não foi possível concluir a operação. Nada mudou.
